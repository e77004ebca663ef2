/**
 * @file How much the loss of each timestep counts. The paper counts all alike: but an error in the noise of a block that
 * is nearly all noise is a far greater error in the block, so what a picture is in the large is learnt last.
 */

import { type NoiseSchedule, noiseLevel } from '../diffusion/noise-schedule.ts';

/**
 * `uniform` is the paper's. `debiased` counts a timestep by noise / signal, the square root of the inverse
 * signal-to-noise ratio (Yu et al. 2023, arXiv 2310.08442).
 */
export const LOSS_WEIGHTINGS = ['uniform', 'debiased'] as const;
/** How timesteps are weighed: see {@link LOSS_WEIGHTINGS}. */
export type LossWeighting = (typeof LOSS_WEIGHTINGS)[number];

/** The weight of each timestep of a schedule. Their mean is 1, so that learning rate and clipping mean the same. */
export function timestepWeights(schedule: NoiseSchedule, weighting: LossWeighting): Float32Array {
  const weights = new Float32Array(schedule.trainSteps).fill(1);
  if (weighting === 'uniform') return weights;
  const ratios = weights.map((_, timestep) => {
    const { signal, noise } = noiseLevel(schedule, timestep);
    return noise / signal;
  });
  const mean = ratios.reduce((sum, ratio) => sum + ratio, 0) / ratios.length;
  return ratios.map((ratio) => ratio / mean);
}
