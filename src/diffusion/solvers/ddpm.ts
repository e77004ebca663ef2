/**
 * @file Ancestral sampling (Ho et al. 2020, arXiv 2006.11239, equations 6 and 7), as diffusers' DDPMScheduler
 * with `fixed_small` variance and leading spacing, without clipping of the predicted clean sample.
 */

import { at, float32At } from '../../at.ts';
import type { VariancePreservingSchedule } from '../noise-schedule.ts';
import { checkStep, checkSteps, drawNoise, leadingAlphas, leadingTimesteps, type Solver } from './solver.ts';

const { fround } = Math;

/** Smallest variance of a step that adds noise, as in diffusers. */
const MIN_VARIANCE = 1e-20;

/** @throws {ArgumentError} if the number of steps is no integer from 1 to the schedule's timesteps. */
export function ddpm(schedule: VariancePreservingSchedule, steps: number): Solver {
  const name = 'ddpm';
  checkSteps(name, schedule, steps);
  const timesteps = leadingTimesteps(schedule, steps);
  const alphas = leadingAlphas(schedule, timesteps);

  const solver: Solver = {
    name,
    predicts: 'epsilon',
    timesteps,
    stochastic: true,
    initialState: () => ({}),
    step(index, x, epsilon, state, generator) {
      checkStep(solver, index, x, epsilon);
      const { signal, noise, pull, keep, deviation } = coefficients(at(alphas, index), at(alphas, index + 1));
      const out = new Float32Array(x.length);
      for (let i = 0; i < out.length; i++) {
        const clean = (float32At(x, i) - noise * float32At(epsilon, i)) / signal;
        out[i] = pull * clean + keep * float32At(x, i);
      }
      if (at(timesteps, index) > 0) {
        const fresh = drawNoise(name, generator, out.length);
        for (let i = 0; i < out.length; i++) out[i] = float32At(out, i) + deviation * float32At(fresh, i);
      }
      return { x: out, state };
    },
  };
  return solver;
}

/** The posterior q(x_next | x, clean): factors of the clean prediction and of x, and its deviation. */
function coefficients(alpha: number, nextAlpha: number) {
  const beta = fround(1 - alpha);
  const nextBeta = fround(1 - nextAlpha);
  const stepAlpha = fround(alpha / nextAlpha);
  const stepBeta = fround(1 - stepAlpha);
  return {
    signal: fround(Math.sqrt(alpha)),
    noise: fround(Math.sqrt(beta)),
    pull: fround((Math.sqrt(nextAlpha) * stepBeta) / beta),
    keep: fround((Math.sqrt(stepAlpha) * nextBeta) / beta),
    deviation: fround(Math.sqrt(Math.max((nextBeta / beta) * stepBeta, MIN_VARIANCE))),
  };
}
