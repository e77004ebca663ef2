/**
 * @file DPM-Solver++ 2M (Lu et al. 2022, arXiv 2211.01095, algorithm 2), as ACDiT's sampling scripts run it:
 * diffusers' DPMSolverMultistepScheduler with linspace spacing, midpoint, final sigma zero. The first and
 * last steps are of first order. Scalars are rounded to float32 wherever diffusers holds them so.
 */

import { at, float32At } from '../../at.ts';
import type { NoiseSchedule, VariancePreservingSchedule } from '../noise-schedule.ts';
import type { Method } from './solver.ts';

const { fround } = Math;

/** A point of the path: alpha signal, sigma noise, and lambda, half the log signal-to-noise ratio. */
interface Level {
  readonly alpha: number;
  readonly sigma: number;
  readonly lambda: number;
}

export function dpmSolverPlusPlus2M(
  schedule: VariancePreservingSchedule,
  timesteps: readonly number[],
): Method {
  const levels = [...timesteps.map((timestep) => noiseToSignal(schedule, timestep)), 0].map(levelOf);

  return {
    predicts: 'epsilon',
    timesteps,
    stochastic: false,
    step(index, x, epsilon, { previousClean }) {
      const clean = predictClean(at(levels, index), x, epsilon);
      const { keep, pull, slope } = coefficients(levels, index);
      const hasSlope = previousClean && slope !== 0;
      const out = new Float32Array(x.length);
      for (let i = 0; i < out.length; i++) {
        const plain = keep * float32At(x, i) + pull * float32At(clean, i);
        out[i] = hasSlope ? plain + slope * (float32At(clean, i) - float32At(previousClean, i)) : plain;
      }
      return { x: out, state: { previousClean: clean } };
    },
  };
}

/** Returns n of the n + 1 points that divide 0..last evenly, falling and without 0; halves go to the even integer. */
export function linspaceTimesteps(schedule: NoiseSchedule, steps: number): number[] {
  const last = schedule.trainSteps - 1;
  const stride = last / steps;
  return Array.from({ length: steps }, (_, i) => (i === 0 ? last : roundHalfToEven((steps - i) * stride)));
}

function roundHalfToEven(value: number): number {
  const floor = Math.floor(value);
  return value - floor === 0.5 ? floor + (floor % 2) : Math.round(value);
}

function noiseToSignal(schedule: VariancePreservingSchedule, timestep: number): number {
  const remaining = at(schedule.alphasCumprod, timestep);
  return fround(Math.sqrt(fround(fround(1 - remaining) / remaining)));
}

function levelOf(noiseToSignalRatio: number): Level {
  const square = fround(noiseToSignalRatio * noiseToSignalRatio);
  const alpha = fround(1 / fround(Math.sqrt(fround(square + 1))));
  const sigma = fround(noiseToSignalRatio * alpha);
  const lambda = fround(fround(Math.log(alpha)) - fround(Math.log(sigma)));
  return { alpha, sigma, lambda };
}

function predictClean({ alpha, sigma }: Level, x: Float32Array, epsilon: Float32Array): Float32Array {
  return x.map((value, i) => fround(value - fround(sigma * float32At(epsilon, i))) / alpha);
}

/**
 * Factors of x, of the clean prediction, and of its change since the previous step. The slope is 0 where the
 * step is of first order: without history, at the end, and after a step of no length. The last only happens
 * at 1000 steps, which visit timestep 500 twice; diffusers divides by zero there and returns NaN.
 */
function coefficients(levels: readonly Level[], index: number) {
  const [from, to] = [at(levels, index), at(levels, index + 1)];
  const h = fround(to.lambda - from.lambda);
  const pull = fround(-fround(to.alpha * fround(fround(Math.exp(-h)) - 1)));
  const keep = fround(to.sigma / from.sigma);
  const previous = index > 0 ? fround(from.lambda - at(levels, index - 1).lambda) : 0;
  const isLast = index === levels.length - 2;
  return { keep, pull, slope: isLast || previous === 0 ? 0 : (0.5 * pull) / fround(previous / h) };
}
