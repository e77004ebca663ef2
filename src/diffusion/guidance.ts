/**
 * @file Classifier-free guidance (Ho and Salimans 2022, arXiv 2207.12598), by noise level (Kynkäänniemi et al. 2024, arXiv
 * 2404.07724) and by block, as others schedule it over the autoregressive order (Li et al. 2024, arXiv 2406.11838).
 */

import { at, float32At } from '../at.ts';
import { ShapeError } from '../errors.ts';
import { printable } from '../io/printable.ts';
import { logSignalToNoise, type NoiseSchedule, noiseLevel } from './noise-schedule.ts';

/** How one scale changes over blocks: it stays, or rises evenly to itself at the model's last block. */
export const GUIDANCE_SCHEDULES = ['constant', 'linear'] as const;
/** One of {@link GUIDANCE_SCHEDULES}. */
export type GuidanceSchedule = (typeof GUIDANCE_SCHEDULES)[number];

/** How strongly predictions with the label are preferred to those without, and where. */
export interface Guidance {
  /** 0 or more: 1 samples the class, 0 no class; any other combines both, in two passes. One for all blocks, or per block. */
  readonly scale: number | readonly number[];
  /**
   * The log signal-to-noise ratios, ln(signal^2 / noise^2), from the noisier end to the cleaner, between which steps are
   * guided. At others the scale is 1, which takes one pass (default: all).
   */
  readonly interval?: readonly [from: number, to: number];
  /** How one scale changes over blocks (default: constant). */
  readonly schedule?: GuidanceSchedule;
}

/** Guidance with its schedule applied: `scale` has an entry per block. */
export interface BlockGuidance extends Pick<Guidance, 'interval'> {
  readonly scale: readonly number[];
}

/**
 * Returns the scale of each of some blocks. A list has one per block of the model; longer samples keep its last.
 * @param trained blocks of the model, over which `linear` rises from 1, not included, to the scale. Longer samples keep it.
 */
export function scalesOfBlocks({ scale, schedule }: Guidance, blocks: number, trained: number): number[] {
  return Array.from({ length: blocks }, (_, block) => {
    const own = Math.min(block, trained - 1);
    if (typeof scale !== 'number') return at(scale, Math.min(own, scale.length - 1));
    return schedule === 'linear' ? 1 + ((scale - 1) * (own + 1)) / trained : scale;
  });
}

/** Returns the scale of a step, whose sample has this log signal-to-noise ratio. */
export function scaleAt({ scale, interval }: BlockGuidance, block: number, logRatio: number): number {
  return !interval || isInside(interval, logRatio) ? at(scale, block) : 1;
}

/** Returns the first and last timestep that an interval guides, the noisier first; undefined if there are none. */
export function intervalTimesteps(
  schedule: NoiseSchedule,
  interval: NonNullable<Guidance['interval']>,
): readonly [from: number, to: number] | undefined {
  const inside = Array.from({ length: schedule.trainSteps }, (_, timestep) => timestep).filter((timestep) =>
    isInside(interval, logSignalToNoise(noiseLevel(schedule, timestep))),
  );
  const [to, from] = [inside[0], inside.at(-1)];
  return from === undefined || to === undefined ? undefined : [from, to];
}

function isInside([from, to]: NonNullable<Guidance['interval']>, logRatio: number): boolean {
  return from <= logRatio && logRatio <= to;
}

/** Returns a few words such as `2, where the log signal-to-noise is -3.6 to 1.8 (timesteps 812 to 288)`. */
export function describeGuidance({ scale, interval, schedule }: Guidance, noise?: NoiseSchedule): string {
  const timesteps = interval && noise && intervalTimesteps(noise, interval);
  return [
    [scale].flat().join('/'),
    ...(schedule === 'linear' ? ['rising over the blocks'] : []),
    ...(interval ? [`where the log signal-to-noise is ${interval.join(' to ')}`] : []),
  ]
    .join(', ')
    .concat(timesteps ? ` (timesteps ${timesteps.join(' to ')})` : '');
}

/** A part of a guidance that is not valid. */
export interface GuidanceProblem {
  readonly part: keyof Guidance;
  /** Continues a sentence that begins with the part's name. */
  readonly problem: string;
}

/** Returns the first part that is not valid for any model. */
export function guidanceProblem({ scale, interval, schedule }: Guidance): GuidanceProblem | undefined {
  const wrong = [scale].flat().find((one) => !(Number.isFinite(one) && one >= 0));
  if (wrong !== undefined) return { part: 'scale', problem: `must be 0 or more, got ${printable(wrong)}` };
  if (schedule !== undefined && !GUIDANCE_SCHEDULES.includes(schedule)) {
    const names = GUIDANCE_SCHEDULES.join(', ');
    return { part: 'schedule', problem: `must be one of ${names}, got '${printable(schedule)}'` };
  }
  if (schedule === 'linear' && typeof scale !== 'number') {
    return { part: 'schedule', problem: 'must be left out if there is a scale per block' };
  }
  if (interval === undefined) return undefined;
  const isRange = Array.isArray(interval) && interval.length === 2 && interval.every(Number.isFinite);
  if (isRange && interval[0] < interval[1]) return undefined;
  const got = Array.isArray(interval)
    ? interval.map((end) => printable(end)).join(', ')
    : printable(interval);
  return {
    part: 'interval',
    problem: `must be two log signal-to-noise ratios, the lower first, such as -3.6, 1.8, got ${got}`,
  };
}

/** The predictions that a scale needs: with their label, without it, or both. */
export type GuidanceBranches = 'conditional' | 'unconditional' | 'both';

/**
 * Returns the predictions that {@link guide} combines at a scale: at 1 and 0 it needs one of them, so one pass is enough.
 */
export function guidanceBranches(scale: number): GuidanceBranches {
  if (scale === 1) return 'conditional';
  return scale === 0 ? 'unconditional' : 'both';
}

/** Returns the passes through the network that a step takes at a scale. */
export function guidancePasses(scale: number): 1 | 2 {
  return guidanceBranches(scale) === 'both' ? 2 : 1;
}

/**
 * Guided noise prediction u + scale (c - u), any shape. Scale 1 is the conditional prediction, 0 the
 * unconditional one; ACDiT guides all channels.
 * @throws {ShapeError} if the lengths differ.
 */
export function guide(conditional: Float32Array, unconditional: Float32Array, scale: number): Float32Array {
  if (conditional.length !== unconditional.length) {
    throw new ShapeError(
      `guide: ${conditional.length} conditional values but ${unconditional.length} unconditional ones`,
    );
  }
  return conditional.map((value, i) => {
    const base = float32At(unconditional, i);
    return base + scale * (value - base);
  });
}
