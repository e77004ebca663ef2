/**
 * @file DDIM (Song et al. 2021, arXiv 2010.02502, equation 12), as diffusers' DDIMScheduler with leading
 * spacing and no clipping of the predicted clean sample (latents are not bounded).
 */

import { at, float32At } from '../../at.ts';
import { ArgumentError } from '../../errors.ts';
import type { VariancePreservingSchedule } from '../noise-schedule.ts';
import { checkStep, checkSteps, drawNoise, leadingAlphas, leadingTimesteps, type Solver } from './solver.ts';

const { fround } = Math;

/** What is particular to DDIM. */
export interface DdimOptions {
  /** Share of DDPM's noise added at each step: 0 (the default) is deterministic, 1 ancestral sampling. */
  readonly eta?: number;
}

/**
 * @throws {ArgumentError} if the number of steps is no integer from 1 to the schedule's timesteps, or eta is
 * not from 0 to 1.
 */
export function ddim(
  schedule: VariancePreservingSchedule,
  steps: number,
  { eta = 0 }: DdimOptions = {},
): Solver {
  const name = 'ddim';
  checkSteps(name, schedule, steps);
  if (!(eta >= 0 && eta <= 1)) throw new ArgumentError(`${name}: eta must be from 0 to 1, got ${eta}`);
  const timesteps = leadingTimesteps(schedule, steps);
  const alphas = leadingAlphas(schedule, timesteps);

  const solver: Solver = {
    name,
    predicts: 'epsilon',
    timesteps,
    stochastic: eta > 0,
    initialState: () => ({}),
    step(index, x, epsilon, state, generator) {
      checkStep(solver, index, x, epsilon);
      const { signal, noise, nextSignal, direction, deviation } = coefficients(
        at(alphas, index),
        at(alphas, index + 1),
        eta,
      );
      const out = new Float32Array(x.length);
      for (let i = 0; i < out.length; i++) {
        const clean = (float32At(x, i) - noise * float32At(epsilon, i)) / signal;
        out[i] = nextSignal * clean + direction * float32At(epsilon, i);
      }
      if (eta > 0) {
        const fresh = drawNoise(name, generator, out.length);
        for (let i = 0; i < out.length; i++) out[i] = float32At(out, i) + deviation * float32At(fresh, i);
      }
      return { x: out, state };
    },
  };
  return solver;
}

/** Square roots of the signal and noise variances before and after the step; `deviation` is of fresh noise. */
function coefficients(alpha: number, nextAlpha: number, eta: number) {
  const beta = fround(1 - alpha);
  const nextBeta = fround(1 - nextAlpha);
  const variance = eta ** 2 * (nextBeta / beta) * (1 - alpha / nextAlpha);
  return {
    signal: fround(Math.sqrt(alpha)),
    noise: fround(Math.sqrt(beta)),
    nextSignal: fround(Math.sqrt(nextAlpha)),
    direction: fround(Math.sqrt(Math.max(0, nextBeta - variance))),
    deviation: fround(Math.sqrt(variance)),
  };
}
