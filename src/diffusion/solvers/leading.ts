/**
 * @file DDIM (Song et al. 2021, arXiv 2010.02502, equation 12) and ancestral sampling, DDPM (Ho et al. 2020, arXiv
 * 2006.11239, equations 6 and 7), as diffusers' DDIMScheduler, and DDPMScheduler with `fixed_small` variance: by default
 * with leading spacing, and no clipping of the predicted clean sample (latents are not bounded).
 */

import { at, float32At } from '../../at.ts';
import { ArgumentError } from '../../errors.ts';
import type { NoiseSchedule, VariancePreservingSchedule } from '../noise-schedule.ts';
import type { Method, NormalSource } from './solver.ts';

const { fround } = Math;

/** What is particular to DDIM. */
export interface DdimOptions {
  /** Share of DDPM's noise added at each step: 0 (the default) is deterministic, 1 ancestral sampling. */
  readonly eta?: number;
}

/** @throws {ArgumentError} if eta is not from 0 to 1. */
export function ddim(
  schedule: VariancePreservingSchedule,
  timesteps: readonly number[],
  { eta = 0 }: DdimOptions = {},
): Method {
  if (!(eta >= 0 && eta <= 1)) throw new ArgumentError(`ddim: eta must be from 0 to 1, got ${eta}`);
  const variancesAt = variancesOf(schedule, timesteps);
  return {
    predicts: 'epsilon',
    timesteps,
    stochastic: eta > 0,
    step(index, x, epsilon, state, generator) {
      const { alpha, beta, nextAlpha, nextBeta } = variancesAt(index);
      const variance = eta ** 2 * (nextBeta / beta) * (1 - alpha / nextAlpha);
      const pull = fround(Math.sqrt(nextAlpha));
      const direction = fround(Math.sqrt(Math.max(0, nextBeta - variance)));
      const clean = cleanOf(alpha, beta, x, epsilon);
      const moved = x.map((_, i) => pull * clean(i) + direction * float32At(epsilon, i));
      if (eta === 0) return { x: moved, state };
      return { x: withNoise('ddim', moved, fround(Math.sqrt(variance)), generator), state };
    },
  };
}

/** Smallest variance of a step that adds noise, as in diffusers. */
const MIN_VARIANCE = 1e-20;

/** Follows the posterior q(x_next | x, clean). */
export function ddpm(schedule: VariancePreservingSchedule, timesteps: readonly number[]): Method {
  const variancesAt = variancesOf(schedule, timesteps);
  return {
    predicts: 'epsilon',
    timesteps,
    stochastic: true,
    step(index, x, epsilon, state, generator) {
      const { alpha, beta, nextAlpha, nextBeta } = variancesAt(index);
      const stepAlpha = fround(alpha / nextAlpha);
      const stepBeta = fround(1 - stepAlpha);
      const pull = fround((Math.sqrt(nextAlpha) * stepBeta) / beta);
      const keep = fround((Math.sqrt(stepAlpha) * nextBeta) / beta);
      const clean = cleanOf(alpha, beta, x, epsilon);
      const moved = x.map((value, i) => pull * clean(i) + keep * value);
      if (index === timesteps.length - 1) return { x: moved, state };
      const deviation = fround(Math.sqrt(Math.max((nextBeta / beta) * stepBeta, MIN_VARIANCE)));
      return { x: withNoise('ddpm', moved, deviation, generator), state };
    },
  };
}

/**
 * Returns timesteps at equal whole distances from 0 up, in falling order: diffusers' `leading` spacing. Where the steps do
 * not divide the schedule it starts below the last timestep.
 */
export function leadingTimesteps({ trainSteps }: NoiseSchedule, steps: number): number[] {
  const stride = Math.floor(trainSteps / steps);
  return Array.from({ length: steps }, (_, i) => (steps - 1 - i) * stride);
}

/** Gives the signal's variance alpha and the noise's, beta, before and after each step. */
function variancesOf({ alphasCumprod }: VariancePreservingSchedule, timesteps: readonly number[]) {
  const alphas = [...timesteps.map((timestep) => at(alphasCumprod, timestep)), 1];
  return (index: number) => {
    const [alpha, nextAlpha] = [at(alphas, index), at(alphas, index + 1)];
    return { alpha, beta: fround(1 - alpha), nextAlpha, nextBeta: fround(1 - nextAlpha) };
  };
}

/** The predicted clean sample, value by value, in double precision. */
function cleanOf(alpha: number, beta: number, x: Float32Array, epsilon: Float32Array): (i: number) => number {
  const [signal, noise] = [fround(Math.sqrt(alpha)), fround(Math.sqrt(beta))];
  return (i) => (float32At(x, i) - noise * float32At(epsilon, i)) / signal;
}

function withNoise(
  name: string,
  x: Float32Array,
  deviation: number,
  generator: NormalSource | undefined,
): Float32Array {
  if (!generator) throw new ArgumentError(`${name}: this solver draws noise; pass a Generator to step()`);
  const fresh = generator.randn(x.length);
  return x.map((value, i) => value + deviation * float32At(fresh, i));
}
