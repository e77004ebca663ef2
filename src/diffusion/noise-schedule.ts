/**
 * @file The noise schedule ACDiT is trained with: how much signal and noise a sample holds at each timestep.
 * Numbers equal diffusers' DDPMScheduler in float32 (Ho et al. 2020, arXiv 2006.11239, section 4).
 */

import { float32At } from '../at.ts';
import { ArgumentError, ShapeError } from '../errors.ts';

/** A discrete variance-preserving schedule; index t is the timestep, 0 the cleanest. */
export interface NoiseSchedule {
  /** Timesteps trained with, usually 1000. */
  readonly trainSteps: number;
  /** Variance added from timestep t-1 to t. */
  readonly betas: Float32Array;
  /** Share of the signal's variance left at t: the running product of 1 - beta. */
  readonly alphasCumprod: Float32Array;
}

/** A linear schedule; by default that of the released code: 1000 steps, betas 1e-4 to 0.02. */
export interface LinearScheduleOptions {
  readonly trainSteps?: number;
  readonly betaStart?: number;
  readonly betaEnd?: number;
}

/**
 * Betas rising linearly, by default from 1e-4 to 0.02 over 1000 timesteps.
 * @throws {ArgumentError} if trainSteps is no positive integer or a beta is not within 0 and 1.
 */
export function linearNoiseSchedule(options: LinearScheduleOptions = {}): NoiseSchedule {
  const { trainSteps = 1000, betaStart = 1e-4, betaEnd = 0.02 } = options;
  if (!Number.isInteger(trainSteps) || trainSteps < 1) {
    throw new ArgumentError(`noise schedule: trainSteps must be a positive integer, got ${trainSteps}`);
  }
  if (!(betaStart > 0 && betaStart < 1 && betaEnd > 0 && betaEnd < 1)) {
    throw new ArgumentError(`noise schedule: betas must lie between 0 and 1, got ${betaStart} to ${betaEnd}`);
  }
  const betas = linspace(betaStart, betaEnd, trainSteps);
  return { trainSteps, betas, alphasCumprod: cumulativeProduct(betas.map((beta) => 1 - beta)) };
}

/** Elements that PyTorch's vectorised kernels compute together. */
const LANES = 8;

/**
 * `torch.linspace` in float32, bit for bit: the first of every 8 elements is counted from the nearer end with
 * one rounding (a fused multiply-add), the others from it. One unit in a beta's last place would be seen in
 * the last sigmas, where 1 - alphasCumprod is small.
 */
function linspace(start: number, end: number, count: number): Float32Array {
  if (count === 1) return Float32Array.of(start);
  const first = Math.fround(start);
  const last = Math.fround(end);
  const step = Math.fround(Math.fround(last - first) / (count - 1));
  return Float32Array.from({ length: count }, (_, i) => {
    const lane = i % LANES;
    const lead = i - lane;
    const base = lead < Math.floor(count / 2) ? first + step * lead : last - step * (count - 1 - lead);
    return Math.fround(base) + Math.fround(step * lane);
  });
}

/** `torch.cumprod` on the CPU: accumulated in double precision, each result rounded. */
function cumulativeProduct(values: Float32Array): Float32Array {
  let product = 1;
  return values.map((value) => {
    product *= value;
    return product;
  });
}

/** Factors of clean sample and noise in a noised sample: x_t = signal * x_0 + noise * epsilon. */
export interface NoiseLevel {
  /** sqrt(alphasCumprod[t]), rounded to float32. */
  readonly signal: number;
  /** sqrt(1 - alphasCumprod[t]), rounded to float32. */
  readonly noise: number;
}

/**
 * How much signal and noise a sample holds at a timestep.
 * @throws {ArgumentError} if the timestep is not one of the schedule's.
 */
export function noiseLevel(schedule: NoiseSchedule, timestep: number): NoiseLevel {
  const remaining = schedule.alphasCumprod[timestep];
  if (remaining === undefined) {
    throw new ArgumentError(
      `noise schedule: timestep must be an integer from 0 to ${schedule.trainSteps - 1}, got ${timestep}`,
    );
  }
  return { signal: f32sqrt(remaining), noise: f32sqrt(Math.fround(1 - remaining)) };
}

function f32sqrt(value: number): number {
  return Math.fround(Math.sqrt(value));
}

/**
 * The noised sample at a timestep, any shape: sqrt(abar_t) x_0 + sqrt(1 - abar_t) epsilon.
 * @throws {ArgumentError} if the timestep is not one of the schedule's.
 * @throws {ShapeError} if the lengths differ.
 */
export function addNoise(
  schedule: NoiseSchedule,
  clean: Float32Array,
  epsilon: Float32Array,
  timestep: number,
): Float32Array {
  if (clean.length !== epsilon.length) {
    throw new ShapeError(`addNoise: ${clean.length} clean values but ${epsilon.length} noise values`);
  }
  const { signal, noise } = noiseLevel(schedule, timestep);
  const out = new Float32Array(clean.length);
  for (let i = 0; i < out.length; i++) {
    out[i] = Math.fround(signal * float32At(clean, i)) + Math.fround(noise * float32At(epsilon, i));
  }
  return out;
}

/** The clean sample that `x` at a timestep would come from if `epsilon` were its noise: the inverse of noising. */
export function cleanSample(
  schedule: NoiseSchedule,
  timestep: number,
  x: Float32Array,
  epsilon: Float32Array,
): Float32Array {
  const { signal, noise } = noiseLevel(schedule, timestep);
  return x.map((value, i) => (value - noise * float32At(epsilon, i)) / signal);
}
