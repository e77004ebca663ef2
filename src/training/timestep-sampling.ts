/** @file Which timesteps training visits, and how often. */

import type { Generator } from '../tensor/generator.ts';

/** Timesteps whose logit, as shares of the schedule from sample to noise, is normally distributed. */
export interface LogitNormal {
  /** Above 0 for more noise. */
  readonly mean: number;
  readonly deviation: number;
}

/**
 * How timesteps are drawn: all alike, as in the paper, or logit-normally (Esser et al. 2024, arXiv 2403.03206, section
 * 3.1).
 */
export type TimestepSampling = 'uniform' | LogitNormal;

/** Returns `count` timesteps from 0 to `trainSteps` - 1. */
export function drawTimesteps(
  sampling: TimestepSampling,
  trainSteps: number,
  count: number,
  generator: Generator,
): ArrayLike<number> {
  if (sampling === 'uniform') return generator.randint(0, trainSteps, count);
  const { mean, deviation } = sampling;
  return Array.from(generator.randn(count), (normal) => {
    const share = 1 / (1 + Math.exp(-(mean + deviation * normal)));
    return Math.min(Math.floor(share * trainSteps), trainSteps - 1);
  });
}

/** Returns the probability of each timestep, by the density in its middle. */
export function timestepProbabilities(sampling: TimestepSampling, trainSteps: number): Float64Array {
  const density = new Float64Array(trainSteps).fill(1);
  if (sampling !== 'uniform') {
    const { mean, deviation } = sampling;
    for (const timestep of density.keys()) {
      const share = (timestep + 0.5) / trainSteps;
      const normal = (Math.log(share / (1 - share)) - mean) / deviation;
      density[timestep] = Math.exp(-(normal ** 2) / 2) / (share * (1 - share));
    }
  }
  const sum = density.reduce((total, value) => total + value, 0);
  return density.map((value) => value / sum);
}
