/**
 * @file Solvers that are given by numbers: timesteps, and how each step weighs the clean samples c_j predicted so far,
 *
 *     x' = (s'/s) x + (a' - a s'/s) sum_j w_j c_j,
 *
 * where a and s are the signal and the noise before the step, a' and s' those after it. If all predictions agree, the step
 * is exact for any weights whose sum is 1. DPM-Solver++ 2M (Lu et al. 2022, arXiv 2211.01095) is one choice of them, on
 * every noise schedule; a tuned solver has those that suit its model best.
 */

import { at, float32At } from '../../at.ts';
import { type NoiseLevel, type NoiseSchedule, noiseLevel } from '../noise-schedule.ts';
import type { Method } from './solver.ts';

/** Timesteps, and each step's weights: of the clean sample that it predicts first, then of those predicted before it. */
export interface MultistepPath {
  /** Falling. */
  readonly timesteps: readonly number[];
  /** A list per step, with the sum 1. */
  readonly weights: readonly (readonly number[])[];
}

/** Returns the solver that takes a path's steps. */
export function multistep(schedule: NoiseSchedule, { timesteps, weights }: MultistepPath): Method {
  const levels = levelsOf(schedule, timesteps);
  const most = Math.max(...weights.map((own) => own.length));
  return {
    predicts: 'sample',
    timesteps,
    stochastic: false,
    step(index, x, clean, { cleans: earlier = [] }) {
      const cleans = [clean, ...earlier].slice(0, most);
      const { keep, pull } = stepFactors(at(levels, index), at(levels, index + 1));
      return { x: combineStep(x, cleans, keep, pull, at(weights, index)), state: { cleans } };
    },
  };
}

/** Returns the levels of timesteps, and after them that of the clean sample. */
export function levelsOf(schedule: NoiseSchedule, timesteps: readonly number[]): NoiseLevel[] {
  return [...timesteps.map((timestep) => noiseLevel(schedule, timestep)), { signal: 1, noise: 0 }];
}

/** Returns the factors of x and of the weighted clean samples in a step. */
export function stepFactors(from: NoiseLevel, to: NoiseLevel): { keep: number; pull: number } {
  const keep = to.noise / from.noise;
  return { keep, pull: to.signal - from.signal * keep };
}

/** Returns keep x + pull sum_j weights_j cleans_j, in double precision. */
export function combineStep(
  x: Float32Array,
  cleans: readonly Float32Array[],
  keep: number,
  pull: number,
  weights: readonly number[],
): Float32Array {
  const factors = cleans.map((_, j) => pull * (weights[j] ?? 0));
  const out = new Float32Array(x.length);
  for (let i = 0; i < out.length; i++) {
    let sum = keep * float32At(x, i);
    for (let j = 0; j < cleans.length; j++) sum += at(factors, j) * float32At(at(cleans, j), i);
    out[i] = sum;
  }
  return out;
}

/**
 * Returns the weights of DPM-Solver++ 2M (midpoint; first and last step of first order) for any falling timesteps of a
 * schedule.
 */
export function secondOrderWeights(schedule: NoiseSchedule, timesteps: readonly number[]): number[][] {
  const lambdas = levelsOf(schedule, timesteps).map(({ signal, noise }) => Math.log(signal / noise));
  return timesteps.map((_, i) => {
    if (i === 0 || i === timesteps.length - 1) return [1];
    const before = at(lambdas, i) - at(lambdas, i - 1);
    const slope = (at(lambdas, i + 1) - at(lambdas, i)) / (2 * before);
    return [1 + slope, -slope];
  });
}
