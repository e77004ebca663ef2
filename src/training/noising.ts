/**
 * @file From a dataset to what the gradient pass takes, and what the SCAM loss draws at random: timesteps, noise, and which
 * labels are dropped, each as the seed and its step make it.
 */

import { at, float32At, take } from '../at.ts';
import { batches } from '../data/batches.ts';
import type { Dataset } from '../data/dataset.ts';
import {
  addNoise,
  createNoiseSchedule,
  type NoiseSchedule,
  noiseLevel,
} from '../diffusion/noise-schedule.ts';
import { predictionTarget } from '../diffusion/prediction.ts';
import { type AcditConfig, diffusionSettings } from '../models/acdit/config.ts';
import { patchify } from '../models/acdit/layout.ts';
import { joinArrays } from '../tensor/axes.ts';
import { Generator } from '../tensor/generator.ts';
import { elementCount, float32, type Tensor } from '../tensor/tensor.ts';
import type { NoisedBatch } from './gradient-pass.ts';
import { timestepWeights } from './loss-weighting.ts';
import type { Recipe } from './recipe.ts';
import { drawTimesteps, type TimestepSampling } from './timestep-sampling.ts';

/** Key of the noise among the streams of random numbers that are derived from the seed. */
const NOISE_STREAM = 2;

/** Where in a training to begin. */
export interface BatchesStart {
  /** Optimizer steps done. */
  readonly step: number;
  /** Samples seen, corrupt ones not counted. */
  readonly position: number;
}

/** Which micro-batches of each step are made: every `size`-th, from number `rank`. */
export interface BatchShare {
  readonly rank: number;
  readonly size: number;
}

/** What batches are made of. */
export interface NoisedBatchesOptions {
  readonly recipe: Recipe;
  readonly config: AcditConfig;
  readonly dataset: Dataset;
  readonly start: BatchesStart;
  readonly signal?: AbortSignal;
  /** By default all micro-batches. */
  readonly share?: BatchShare;
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
  share = { rank: 0, size: 1 },
}: NoisedBatchesOptions): AsyncGenerator<NoisedBatch, void, void> {
  const { prediction, noiseSchedule, noiseShift } = diffusionSettings(config);
  const schedule = createNoiseSchedule(noiseSchedule, noiseShift);
  const { lossWeighting: weighting, timesteps } = training;
  const weights = timestepWeights(schedule, { weighting, prediction, timesteps });
  const isOwn = (micro: number): boolean => micro % share.size === share.rank;
  const source = batches(dataset, {
    batchSize: training.batch,
    seed: training.seed,
    position: start.position,
    takes: (batch) => isOwn(batch % training.accumulate),
    // Latents are mirrored before they are encoded, and chosen when they are read.
    ...(!dataset.autoencoder && { augmentation: { horizontalFlip: data.flip, cropPadding: data.crop } }),
    ...(signal && { signal }),
  });
  for await (const { samples, labels, position } of source) {
    const number = (position - start.position) / training.batch;
    const step = start.step + Math.floor(number / training.accumulate);
    const micro = number % training.accumulate;
    const generator = Generator.seeded(training.seed, NOISE_STREAM, step, micro);
    const tokens = patchify(config, samples);
    const batch = noiseBatch(config, schedule, tokens, labels, training, generator);
    yield { ...batch, lossWeights: Array.from(batch.timesteps, (timestep) => float32At(weights, timestep)) };
  }
}

/** How batches are noised. */
export interface NoisingOptions {
  /** Share of samples that are trained without their label, for guidance. */
  readonly labelDrop: number;
  /** How timesteps are drawn (default: uniform). */
  readonly timesteps?: TimestepSampling;
  /** What has a timestep of its own (default: block, the paper's). */
  readonly timestepPer?: 'block' | 'sample';
}

/** Noises `clean` (N, T, B, C) for a model's prediction, with clean blocks as context, and drops labels. */
export function noiseBatch(
  config: AcditConfig,
  schedule: NoiseSchedule,
  clean: Tensor<'float32'>,
  labels: ArrayLike<number>,
  { labelDrop, timesteps: sampling = 'uniform', timestepPer = 'block' }: NoisingOptions,
  generator: Generator,
): NoisedBatch {
  const [samples, blocks] = take(clean.shape, 2);
  const shared = timestepPer === 'sample' ? blocks : 1;
  const drawn = drawTimesteps(sampling, schedule.trainSteps, (samples * blocks) / shared, generator);
  const timesteps = Array.from(drawn).flatMap((timestep) => new Array<number>(shared).fill(timestep));
  const noise = generator.randn(clean.data.length);
  const drops = generator.rand(samples);
  return {
    ...noisedAt(config, schedule, clean, timesteps, noise, generator),
    labels: Array.from(drops, (value, n) => (value < labelDrop ? config.classes : at(labels, n))),
  };
}

/**
 * Noises `clean` (N, T, B, C) to one timestep per block (N, T) with this noise, for a model's prediction.
 * @param generator draws the noise of clean blocks, if the model has any
 */
export function noisedAt(
  config: AcditConfig,
  schedule: NoiseSchedule,
  clean: Tensor<'float32'>,
  timesteps: ArrayLike<number>,
  noise: Float32Array,
  generator: Generator,
): Omit<NoisedBatch, 'labels'> {
  const { prediction, contextNoise } = diffusionSettings(config);
  const added = float32(clean.shape, noise);
  return {
    clean:
      contextNoise === 0
        ? clean
        : float32(
            clean.shape,
            addNoise(schedule, clean.data, generator.randn(clean.data.length), contextNoise),
          ),
    target: eachBlock(clean, added, timesteps, (x, epsilon, timestep) =>
      predictionTarget(prediction, noiseLevel(schedule, timestep), x, epsilon),
    ),
    noised: noiseBlocks(schedule, clean, added, timesteps),
    timesteps,
  };
}

/** Returns signal x + noise epsilon, (N, T, B, C), with one timestep per block. */
export function noiseBlocks(
  schedule: NoiseSchedule,
  clean: Tensor<'float32'>,
  noise: Tensor<'float32'>,
  timesteps: ArrayLike<number>,
): Tensor<'float32'> {
  return eachBlock(clean, noise, timesteps, (x, epsilon, t) => addNoise(schedule, x, epsilon, t));
}

/** A tensor shaped like `clean` whose blocks are made one by one, each of its clean values, its noise and its timestep. */
function eachBlock(
  clean: Tensor<'float32'>,
  noise: Tensor<'float32'>,
  timesteps: ArrayLike<number>,
  make: (clean: Float32Array, noise: Float32Array, timestep: number) => Float32Array,
): Tensor<'float32'> {
  const size = elementCount(clean.shape.slice(2));
  const blocks = Array.from(timesteps, (timestep, block) => {
    const [from, to] = [block * size, (block + 1) * size];
    return make(clean.data.subarray(from, to), noise.data.subarray(from, to), timestep);
  });
  return float32(clean.shape, joinArrays('float32', blocks));
}
