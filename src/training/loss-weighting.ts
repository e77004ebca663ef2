/**
 * @file How much the loss of each timestep counts. In the paper all count alike: but an error in the noise of a block that
 * is nearly all noise is a far greater error in the block, so the large features of an image are learned last.
 */

import { float64At } from '../at.ts';
import { type NoiseLevel, type NoiseSchedule, noiseLevel } from '../diffusion/noise-schedule.ts';
import { type Prediction, squaredErrorRatio } from '../diffusion/prediction.ts';
import { type TimestepSampling, timestepProbabilities } from './timestep-sampling.ts';

/**
 * - `uniform`: the error of the prediction, at all timesteps alike; the paper's.
 * - `debiased`: the error of the noise, times noise / signal (Yu et al. 2023, arXiv 2310.08442).
 * - `min-snr`: the error of the clean sample, times the signal-to-noise ratio, at most 5 (Hang et al. 2023, arXiv
 *   2303.09556).
 * - `v`: the error of the velocity: v (Salimans and Ho 2022, arXiv 2202.00512), or of the straight path for the schedule
 *   `flow` (Li and He 2025, arXiv 2511.13720, whose floor of 0.05 under the noise keeps weights finite).
 */
export const LOSS_WEIGHTINGS = ['uniform', 'debiased', 'min-snr', 'v'] as const;
/** One of {@link LOSS_WEIGHTINGS}. */
export type LossWeighting = (typeof LOSS_WEIGHTINGS)[number];

/** Largest signal-to-noise ratio that `min-snr` counts. */
const MAX_SNR = 5;
/** Least noise that `v` divides by. */
const MIN_NOISE = 0.05;

/** What the weights of timesteps depend on. */
export interface WeightingOptions {
  readonly weighting: LossWeighting;
  /** What the loss is an error of (default: epsilon). */
  readonly prediction?: Prediction;
  /** How often timesteps are drawn (default: uniform). */
  readonly timesteps?: TimestepSampling;
}

/**
 * Returns the factor of the squared error of a prediction at each timestep of a schedule. Their mean over the timesteps
 * that are drawn is 1, so that learning rate and clipping keep their meaning.
 */
export function timestepWeights(schedule: NoiseSchedule, options: WeightingOptions): Float32Array {
  const { weighting, prediction = 'epsilon', timesteps = 'uniform' } = options;
  const weights = new Float32Array(schedule.trainSteps).fill(1);
  if (weighting !== 'uniform') {
    for (const timestep of weights.keys()) {
      const level = noiseLevel(schedule, timestep);
      weights[timestep] = cleanErrorWeight(weighting, level) / squaredErrorRatio(prediction, level);
    }
  }
  const probabilities = timestepProbabilities(timesteps, schedule.trainSteps);
  let mean = 0;
  for (const [timestep, weight] of weights.entries()) mean += weight * float64At(probabilities, timestep);
  return weights.map((weight) => weight / mean);
}

/** The weight of the clean sample's squared error, to which that of any prediction is proportional. */
function cleanErrorWeight(weighting: Exclude<LossWeighting, 'uniform'>, level: NoiseLevel): number {
  const { signal, noise } = level;
  switch (weighting) {
    case 'debiased':
      return signal / noise;
    case 'min-snr':
      return Math.min((signal / noise) ** 2, MAX_SNR);
    case 'v': {
      const onFlow = Math.abs(signal + noise - 1) < 1e-6;
      return squaredErrorRatio(onFlow ? 'flow' : 'v', level) * Math.min(noise / MIN_NOISE, 1) ** 2;
    }
  }
}
