/** @file From a dataset to what the gradient pass takes: batch after batch, each as the seed and its step make it. */

import { float32At } from '../at.ts';
import { batches } from '../data/batches.ts';
import type { Dataset } from '../data/dataset.ts';
import { createNoiseSchedule } from '../diffusion/noise-schedule.ts';
import { type AcditConfig, diffusionSettings } from '../models/acdit/config.ts';
import { patchify } from '../models/acdit/layout.ts';
import { Generator } from '../tensor/generator.ts';
import type { NoisedBatch } from './gradient-pass.ts';
import { timestepWeights } from './loss-weighting.ts';
import { noiseBatch } from './noising.ts';
import type { Recipe } from './recipe.ts';

/** Key of the noise among the streams of random numbers that are derived from the seed. */
const NOISE_STREAM = 2;

/** Where in a training to begin. */
export interface BatchesStart {
  /** Optimizer steps done. */
  readonly step: number;
  /** Samples seen. */
  readonly position: number;
}

/** What batches are made of. */
export interface NoisedBatchesOptions {
  readonly recipe: Recipe;
  readonly config: AcditConfig;
  readonly dataset: Dataset;
  readonly start: BatchesStart;
  readonly signal?: AbortSignal;
}

/**
 * The recipe's micro-batches from `start` on, without end.
 * @throws {DatasetError} if too few samples can be read.
 */
export async function* noisedBatches({
  recipe: { training, data },
  config,
  dataset,
  start,
  signal,
}: NoisedBatchesOptions): AsyncGenerator<NoisedBatch, void, void> {
  const { prediction, noiseSchedule, noiseShift } = diffusionSettings(config);
  const schedule = createNoiseSchedule(noiseSchedule, noiseShift);
  const { lossWeighting: weighting, timesteps } = training;
  const weights = timestepWeights(schedule, { weighting, prediction, timesteps });
  const source = batches(dataset, {
    batchSize: training.batch,
    seed: training.seed,
    position: start.position,
    // Latents are mirrored before they are encoded, and chosen when they are read.
    ...(!dataset.autoencoder && { augmentation: { horizontalFlip: data.flip, cropPadding: data.crop } }),
    ...(signal && { signal }),
  });
  let micro = 0;
  let { step } = start;
  for await (const { samples, labels } of source) {
    const generator = Generator.seeded(training.seed, NOISE_STREAM, step, micro);
    const tokens = patchify(config, samples);
    const batch = noiseBatch(config, schedule, tokens, labels, training, generator);
    yield { ...batch, lossWeights: Array.from(batch.timesteps, (timestep) => float32At(weights, timestep)) };
    micro = (micro + 1) % training.accumulate;
    if (micro === 0) step++;
  }
}
