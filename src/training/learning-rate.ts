/** @file Learning rate by step: constant, cosine, or warm-up, stable, decay (WSD); each with linear warm-up. */

import { ConfigError } from '../errors.ts';

/** The learning rate over the steps of a training. */
export interface LearningRateSchedule {
  readonly kind: 'constant' | 'cosine' | 'wsd';
  /** The rate after warm-up. */
  readonly peak: number;
  /** Optimizer steps of the whole training. */
  readonly totalSteps: number;
  /** Steps of linear warm-up; the first step has peak / warmupSteps. Default 0. */
  readonly warmupSteps?: number;
  /** WSD: share of all steps at the end over which the rate decays. Default 0.15, the official one. */
  readonly decayFraction?: number;
}

/** WSD halves the rate this often, to 1/64, as the official code does. */
const WSD_HALVINGS = 6;

/**
 * The learning rate of optimizer step `step`, counted from 0. Beyond the last step it stays what it was there.
 *
 * - constant: peak.
 * - cosine: from peak to 0 along half a cosine, from the end of the warm-up on.
 * - wsd: peak, then over the last decayFraction of the steps peak x 0.5^(6 r), r going from 0 to 1.
 *
 * @throws {ConfigError} if the schedule is not possible.
 */
export function learningRate(schedule: LearningRateSchedule, step: number): number {
  const { kind, peak, totalSteps, warmupSteps = 0, decayFraction = 0.15 } = schedule;
  if (!(peak >= 0) || !(totalSteps >= 1) || !(warmupSteps >= 0 && warmupSteps <= totalSteps)) {
    throw new ConfigError(
      `learning rate: expected peak >= 0, totalSteps >= 1 and warmupSteps from 0 to totalSteps, ` +
        `got peak ${peak}, totalSteps ${totalSteps} and warmupSteps ${warmupSteps}`,
    );
  }
  if (!(decayFraction >= 0 && decayFraction <= 1)) {
    throw new ConfigError(`learning rate: decayFraction must be from 0 to 1, got ${decayFraction}`);
  }
  const warmup = step < warmupSteps ? (step + 1) / warmupSteps : 1;
  if (kind === 'cosine') {
    const ratio = progress(step, warmupSteps, totalSteps);
    return peak * warmup * (0.5 * (1 + Math.cos(Math.PI * ratio)));
  }
  if (kind === 'wsd') {
    const ratio = progress(step, totalSteps * (1 - decayFraction), totalSteps);
    return peak * warmup * 0.5 ** (WSD_HALVINGS * ratio);
  }
  return peak * warmup;
}

/** How far `step` is from `start` to `end`, 0 to 1. */
function progress(step: number, start: number, end: number): number {
  return end > start ? Math.min(Math.max((step - start) / (end - start), 0), 1) : 0;
}
