/**
 * @file Noise schedules: how much signal and noise a sample holds at each timestep. The numbers of `linear`, which the
 * paper trains with, equal diffusers' DDPMScheduler in float32 (Ho et al. 2020, arXiv 2006.11239, section 4).
 */

import { float32At } from '../at.ts';
import { ArgumentError, ShapeError } from '../errors.ts';

/** How much of a sample and of noise is in it at each discrete timestep, 0 being the cleanest. */
export interface NoiseSchedule {
  /** Timesteps trained with, usually 1000. */
  readonly trainSteps: number;
  /** Factor of the clean sample at each timestep, falling. */
  readonly signal: Float32Array;
  /** Factor of the noise at each timestep, rising. */
  readonly noise: Float32Array;
}

/** A schedule in which signal^2 + noise^2 = 1: samples of variance 1 keep it. */
export interface VariancePreservingSchedule extends NoiseSchedule {
  /** Variance added from timestep t-1 to t. */
  readonly betas: Float32Array;
  /** Share of the signal's variance left at t: the running product of 1 - beta. */
  readonly alphasCumprod: Float32Array;
}

/**
 * The paths from sample to noise. `linear`: betas rise linearly from 1e-4 to 0.02, as in the released code (Ho et al.
 * 2020). `cosine`: the signal falls as a cosine (Nichol and Dhariwal 2021, arXiv 2102.09672, equation 17). `flow`: the
 * straight line (1 - t) x_0 + t epsilon of rectified flow (Liu et al. 2022, arXiv 2209.03003), t from 1/1000 to 1.
 */
export const NOISE_SCHEDULES = ['linear', 'cosine', 'flow'] as const;
/** One of {@link NOISE_SCHEDULES}. */
export type NoiseScheduleName = (typeof NOISE_SCHEDULES)[number];

/** Timesteps of all schedules, as in the released code. */
export const TRAIN_STEPS = 1000;

/**
 * Returns a schedule of 1000 timesteps by name.
 * @param shift factor of the noise-to-signal ratio at each timestep, above 1 for more noise, as larger images need
 *   (Hoogeboom et al. 2023, arXiv 2301.11093, section 3.1; for `flow` the shift of Esser et al. 2024, arXiv 2403.03206).
 * @throws {ArgumentError} if the shift is not a finite number above 0.
 */
export function createNoiseSchedule(name: NoiseScheduleName, shift = 1): NoiseSchedule {
  if (!(shift > 0 && Number.isFinite(shift))) {
    throw new ArgumentError(`noise schedule: shift must be a finite number above 0, got ${shift}`);
  }
  if (name === 'flow') return flowNoiseSchedule(shift);
  const schedule = name === 'linear' ? linearNoiseSchedule() : cosineNoiseSchedule();
  return shift === 1 ? schedule : shifted(schedule, shift);
}

/**
 * Betas rising linearly from 1e-4 to 0.02: the schedule of the released code and of its goldens.
 * @throws {ArgumentError} if trainSteps is not a positive integer.
 */
export function linearNoiseSchedule(trainSteps = TRAIN_STEPS): VariancePreservingSchedule {
  if (!Number.isInteger(trainSteps) || trainSteps < 1) {
    throw new ArgumentError(`noise schedule: trainSteps must be a positive integer, got ${trainSteps}`);
  }
  return variancePreserving(linspace(1e-4, 0.02, trainSteps));
}

/** Largest beta of the cosine schedule, whose last would be 1. */
const MAX_BETA = 0.999;

function cosineNoiseSchedule(): VariancePreservingSchedule {
  const remaining = (t: number): number => Math.cos(((t / TRAIN_STEPS + 0.008) / 1.008) * (Math.PI / 2)) ** 2;
  const betas = Float32Array.from({ length: TRAIN_STEPS }, (_, t) =>
    Math.min(1 - remaining(t + 1) / remaining(t), MAX_BETA),
  );
  return variancePreserving(betas);
}

function flowNoiseSchedule(shift: number): NoiseSchedule {
  const noise = Float32Array.from({ length: TRAIN_STEPS }, (_, k) => {
    const t = (k + 1) / TRAIN_STEPS;
    return (shift * t) / (1 + (shift - 1) * t);
  });
  return { trainSteps: TRAIN_STEPS, signal: noise.map((t) => 1 - t), noise };
}

/** The schedule with `shift` times the noise-to-signal ratio. */
function shifted({ alphasCumprod }: VariancePreservingSchedule, shift: number): VariancePreservingSchedule {
  const remaining = alphasCumprod.map((alpha) => alpha / (alpha + shift ** 2 * (1 - alpha)));
  let previous = 1;
  const betas = remaining.map((alpha) => {
    const beta = 1 - alpha / previous;
    previous = alpha;
    return beta;
  });
  return variancePreserving(betas, remaining);
}

function variancePreserving(
  betas: Float32Array,
  alphasCumprod = cumulativeProduct(betas.map((beta) => 1 - beta)),
): VariancePreservingSchedule {
  return {
    trainSteps: betas.length,
    signal: alphasCumprod.map(Math.sqrt),
    noise: alphasCumprod.map((alpha) => Math.sqrt(Math.fround(1 - alpha))),
    betas,
    alphasCumprod,
  };
}

export function isVariancePreserving(schedule: NoiseSchedule): schedule is VariancePreservingSchedule {
  return 'alphasCumprod' in schedule;
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

/** Factors of clean sample and noise in a noised sample: x_t = signal x_0 + noise epsilon. */
export interface NoiseLevel {
  readonly signal: number;
  readonly noise: number;
}

/**
 * Returns how much signal and noise a sample holds at a timestep.
 * @throws {ArgumentError} if the timestep is not one of the schedule's.
 */
export function noiseLevel({ trainSteps, signal, noise }: NoiseSchedule, timestep: number): NoiseLevel {
  const level = { signal: signal[timestep], noise: noise[timestep] };
  if (level.signal === undefined || level.noise === undefined) {
    throw new ArgumentError(
      `noise schedule: timestep must be an integer from 0 to ${trainSteps - 1}, got ${timestep}`,
    );
  }
  return { signal: level.signal, noise: level.noise };
}

/** Signal over noise that stands for noise alone, whose log signal-to-noise ratio would be infinite. */
const NOISE_ALONE = 1e-6;

/** Returns the log signal-to-noise ratio of a level, ln(signal^2 / noise^2); -27.6 for noise alone. */
export function logSignalToNoise({ signal, noise }: NoiseLevel): number {
  return 2 * Math.log(Math.max(signal / noise, NOISE_ALONE));
}

/**
 * Returns the sample noised to a timestep, any shape: signal x_0 + noise epsilon.
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
