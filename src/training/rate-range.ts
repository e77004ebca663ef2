/**
 * @file The learning-rate range test of Smith (2017, arXiv 1506.01186, section 3.3): a short training whose learning rate rises
 * exponentially. The loss against the rate shows where learning begins, where it is fastest, and where it diverges.
 */

import { at } from '../at.ts';
import { invalidOption } from '../invalid-option.ts';

/** Learning rates that are tested. */
export interface RateRange {
  /** Learning rate of the first step. */
  readonly from: number;
  /** Learning rate of the last step. */
  readonly to: number;
  /** Optimizer steps, each with a higher rate than the one before by the same factor. */
  readonly steps: number;
}

/** Fewest steps that a curve can be read from. */
export const FEWEST_STEPS = 20;

/** @throws {ArgumentError} if a range cannot be tested */
export function requireRateRange({ from, to, steps }: RateRange): void {
  const isRate = (rate: number): boolean => Number.isFinite(rate) && rate > 0;
  if (!isRate(from) || !isRate(to) || to <= from) {
    throw invalidOption('rates', `must be a rate above 0 and a higher one, got ${from} and ${to}`);
  }
  if (!Number.isSafeInteger(steps) || steps < FEWEST_STEPS) {
    throw invalidOption('steps', `must be a whole number of at least ${FEWEST_STEPS}, got ${steps}`);
  }
}

/** Returns the learning rate after `step` steps. */
export function rateAt({ from, to, steps }: RateRange, step: number): number {
  return from * (to / from) ** (step / (steps - 1));
}

/** The loss of a step, and the learning rate that it was taken with. */
export interface RateLoss {
  readonly learningRate: number;
  readonly loss: number;
}

/** What a range test found. */
export interface RateCurve {
  /** The losses as they were, and smoothed. */
  readonly points: readonly (RateLoss & { readonly smoothed: number })[];
  /** Rate at which the smoothed loss is lowest. */
  readonly lowest: number;
  /** Rate at which the smoothed loss falls fastest before it is lowest. */
  readonly steepest: number;
  /** The suggested rate; undefined if the range does not show it. */
  readonly suggested: number | undefined;
  /** Why no rate is suggested, and what to do. */
  readonly problem: string | undefined;
}

/** Suggested rate as a share of the rate with the lowest loss. */
const SHARE_OF_LOWEST = 0.1;
/** A loss has fallen if its logarithm is lower by at least this, and by this many standard errors of smoothed losses. */
const FALLEN = 0.02;
const FALLEN_ERRORS = 4;
/** If the loss is lowest in this last share of a test that did not diverge, higher rates may be better. */
const LAST_SHARE = 0.05;

/** How a rate is suggested. */
export const SUGGESTION_RULE = 'a tenth of the rate at which the smoothed loss is lowest';

/**
 * Reads the curve of a test.
 * @param losses in the order of the steps, at least one
 * @param diverged whether the loss diverged after the last of them
 */
export function readRateCurve(losses: readonly RateLoss[], diverged: boolean): RateCurve {
  const rough = losses.map(({ loss }) => Math.log(loss));
  const logs = smoothed(rough);
  const points = losses.map((point, i) => ({ ...point, smoothed: Math.exp(at(logs, i)) }));
  const lowest = indexOfLeast(logs);
  const slopes = logs.slice(0, lowest + 1).map((_, i) => {
    const [before, after] = [Math.max(0, i - 1), Math.min(logs.length - 1, i + 1)];
    return (at(logs, after) - at(logs, before)) / (after - before);
  });
  const rate = (index: number): number => at(points, index).learningRate;
  const hasFallen = at(logs, 0) - at(logs, lowest) >= Math.max(FALLEN, FALLEN_ERRORS * smoothedError(rough));
  const isLast = !diverged && lowest >= (1 - LAST_SHARE) * (points.length - 1);
  const problem = isLast
    ? 'the loss was still falling at the highest rate; test higher rates'
    : hasFallen
      ? undefined
      : `the loss fell at no rate before it ${diverged ? 'diverged; test lower rates' : 'rose; test other rates'}`;
  return {
    points,
    lowest: rate(lowest),
    steepest: rate(indexOfLeast(slopes)),
    suggested: problem === undefined ? SHARE_OF_LOWEST * rate(lowest) : undefined,
    problem,
  };
}

function indexOfLeast(values: readonly number[]): number {
  return values.reduce((least, value, i) => (value < at(values, least) ? i : least), 0);
}

/** Standard deviation, in steps, of the kernel that smooths losses. */
function kernelDeviation(steps: number): number {
  return Math.max(2, steps / 40);
}

/** Returns the standard error of smoothed values, from how much neighbours differ; a few large jumps do not matter. */
function smoothedError(values: readonly number[]): number {
  const jumps = values.slice(1).map((value, i) => Math.abs(value - at(values, i)));
  const median = [...jumps].sort((a, b) => a - b)[Math.floor(jumps.length / 2)] ?? 0;
  const noise = median / (0.6745 * Math.SQRT2); // of normally distributed noise
  return noise / Math.sqrt(2 * Math.sqrt(Math.PI) * kernelDeviation(values.length));
}

/** Returns means over neighbours, weighted by a Gaussian kernel: unlike running means, they have no lag. */
function smoothed(values: readonly number[]): number[] {
  const deviation = kernelDeviation(values.length);
  const reach = Math.ceil(3 * deviation);
  return values.map((_, center) => {
    let [sum, weights] = [0, 0];
    for (let i = Math.max(0, center - reach); i <= Math.min(values.length - 1, center + reach); i++) {
      const weight = Math.exp(-0.5 * ((i - center) / deviation) ** 2);
      sum += weight * at(values, i);
      weights += weight;
    }
    return sum / weights;
  });
}

/** Weight of the newest loss in the running mean that shows divergence. */
const NEWEST = 0.1;
/** A running mean this many times its lowest value has diverged. */
const DIVERGED = 4;

/** Returns a function that gets one loss after the other, and returns whether they diverge. */
export function divergenceOf(): (loss: number) => boolean {
  let [sum, weight, lowest] = [0, 0, Number.POSITIVE_INFINITY];
  return (loss) => {
    sum += NEWEST * (loss - sum);
    weight += NEWEST * (1 - weight);
    const mean = sum / weight;
    lowest = Math.min(lowest, mean);
    return !(mean <= DIVERGED * lowest);
  };
}
