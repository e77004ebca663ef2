/**
 * @file The loss on held-out data, always with the same samples, timesteps and noise. Timesteps are stratified: each block
 * visits each range of timesteps equally often, so a few hundred samples are enough. Nothing depends on the batch of the
 * training, its seed, or the number of ranks.
 */

import { at, float32At, float64At } from '../at.ts';
import type { Dataset } from '../data/dataset.ts';
import { createNoiseSchedule, type NoiseSchedule } from '../diffusion/noise-schedule.ts';
import { DatasetError } from '../errors.ts';
import { type AcditConfig, diffusionSettings } from '../models/acdit/config.ts';
import { patchify } from '../models/acdit/layout.ts';
import type { Weights } from '../models/acdit/weights.ts';
import type { Device } from '../runtime/device.ts';
import { joinAxis } from '../tensor/axes.ts';
import { Generator } from '../tensor/generator.ts';
import { float32 } from '../tensor/tensor.ts';
import { compileErrorPass } from './compile-gradient-pass.ts';
import { sequenceBlocks } from './gradient-graphs.ts';
import type { NoisedBatch } from './gradient-pass.ts';
import { timestepWeights } from './loss-weighting.ts';
import { noisedAt } from './noising.ts';
import type { Recipe } from './recipe.ts';
import { timestepProbabilities } from './timestep-sampling.ts';
import { requireFit } from './training-loop.ts';

/** Keys of the streams of random numbers that are derived from the seed. */
const ORDER_STREAM = 3;
const SAMPLE_STREAM = 4;

/** Tokens and samples of a pass, at most. They do not depend on the training, so that the errors do not either. */
const PASS_TOKENS = 4096;
const PASS_SAMPLES = 32;
/** Ranges of blocks that are logged, at most. */
const MAX_BLOCK_RANGES = 16;

/** What is validated, on what, and how. */
export interface ValidationOptions {
  readonly device: Device;
  readonly config: AcditConfig;
  /** Held-out data. */
  readonly dataset: Dataset;
  readonly training: Pick<Recipe['training'], 'lossWeighting' | 'timesteps' | 'timestepPer'>;
  readonly settings: Pick<NonNullable<Recipe['validation']>, 'samples' | 'timestepBins' | 'seed'>;
}

/**
 * Scores by name: `loss`, the recipe's, with its weights of timesteps and as often as it draws them; and means of the
 * prediction's squared error, with all timesteps alike, by timesteps (`timestep-000-099`) and by block (`block-0`).
 */
export type ValidationScores = Readonly<Record<string, number>>;

/** Computes validation losses of weights. */
export interface Validation {
  /**
   * Returns the scores of these weights.
   * @param onProgress gets the share that is done, 0 to 1.
   * @throws {DatasetError} if no sample can be read
   * @throws the signal's reason once it is aborted.
   */
  run(
    weights: Weights,
    signal?: AbortSignal,
    onProgress?: (share: number) => void,
  ): Promise<ValidationScores>;
  /** Give back its program's memory. */
  dispose(): Promise<void>;
}

/** The squared error of a block's prediction. */
interface BlockError {
  readonly block: number;
  readonly timestep: number;
  readonly error: number;
}

/** Prepares validation. @throws {ConfigError} if the data does not fit the model. */
export async function openValidation(options: ValidationOptions): Promise<Validation> {
  const { device, config, dataset, settings } = options;
  requireFit(config, dataset);
  const tokens = sequenceBlocks(config) * config.blockSize;
  const perPass = Math.max(1, Math.min(PASS_SAMPLES, Math.floor(PASS_TOKENS / tokens)));
  const pass = await compileErrorPass(device, config, perPass);
  return {
    async run(weights, signal, onProgress) {
      const errors: BlockError[] = [];
      let group: NoisedBatch[] = [];
      const flush = async (): Promise<void> => {
        const batch = Array.from({ length: perPass }, (_, i) => at(group, Math.min(i, group.length - 1)));
        const found = await pass.run(weights, joined(batch));
        for (const [n, { timesteps }] of group.entries()) {
          for (let block = 0; block < config.blocks; block++) {
            const error = float32At(found, n * config.blocks + block);
            errors.push({ block, timestep: at(timesteps, block), error });
          }
        }
        onProgress?.(errors.length / (config.blocks * Math.min(settings.samples, dataset.size)));
        group = [];
      };
      for await (const sample of heldOutSamples(options)) {
        signal?.throwIfAborted();
        group.push(sample);
        if (group.length === perPass) await flush();
      }
      if (group.length > 0) await flush();
      if (errors.length > 0) return summary(errors, options);
      throw new DatasetError(`${dataset.name}: none of its ${dataset.size} samples can be read`);
    },
    dispose: () => pass.dispose(),
  };
}

/** The held-out samples in their fixed order, each noised in its fixed way; corrupt ones are left out. */
async function* heldOutSamples({
  config,
  dataset,
  training,
  settings: { samples, timestepBins, seed },
}: ValidationOptions): AsyncGenerator<NoisedBatch, void, void> {
  const schedule = scheduleOf(config);
  const order = Generator.seeded(seed, ORDER_STREAM).randperm(dataset.size);
  let count = 0;
  for (const index of order) {
    if (count === samples) return;
    const generator = Generator.seeded(seed, SAMPLE_STREAM, count);
    const sample = await dataset.read(index, generator);
    if (!sample) continue;
    const clean = patchify(config, float32([1, ...dataset.sampleShape], sample.values));
    const shared = training.timestepPer === 'sample';
    const timesteps = stratified(count, config.blocks, shared, timestepBins, schedule.trainSteps, generator);
    const noise = generator.randn(clean.data.length);
    yield { ...noisedAt(config, schedule, clean, timesteps, noise, generator), labels: [sample.label] };
    count++;
  }
}

/** Timesteps of a sample's blocks, each in a range of its own: the next range for the next block, and the next sample. */
function stratified(
  sample: number,
  blocks: number,
  shared: boolean,
  bins: number,
  trainSteps: number,
  generator: Generator,
): number[] {
  const draws = generator.rand(blocks);
  return Array.from({ length: blocks }, (_, index) => {
    const block = shared ? 0 : index;
    const bin = (sample + block) % bins;
    return Math.min(Math.floor(((bin + float32At(draws, block)) * trainSteps) / bins), trainSteps - 1);
  });
}

function scheduleOf(config: AcditConfig): NoiseSchedule {
  const { noiseSchedule, noiseShift } = diffusionSettings(config);
  return createNoiseSchedule(noiseSchedule, noiseShift);
}

/** One batch of several. */
function joined(batches: readonly NoisedBatch[]): NoisedBatch {
  const join = (part: 'clean' | 'noised' | 'target') =>
    joinAxis(
      batches.map((batch) => batch[part]),
      0,
    );
  return {
    clean: join('clean'),
    noised: join('noised'),
    target: join('target'),
    timesteps: batches.flatMap(({ timesteps }) => Array.from(timesteps)),
    labels: batches.flatMap(({ labels }) => Array.from(labels)),
  };
}

/** Sums errors up. Timesteps are uniform here, so the loss weights them by how often the recipe draws them. */
function summary(errors: readonly BlockError[], options: ValidationOptions): ValidationScores {
  const { config, training, settings } = options;
  const schedule = scheduleOf(config);
  const { trainSteps } = schedule;
  const { prediction } = diffusionSettings(config);
  const { lossWeighting: weighting, timesteps } = training;
  const weights = timestepWeights(schedule, { weighting, prediction, timesteps });
  const probabilities = timestepProbabilities(timesteps, trainSteps);
  const weightOf = (timestep: number): number =>
    float32At(weights, timestep) * float64At(probabilities, timestep) * trainSteps;
  return {
    loss: mean(errors, ({ timestep, error }) => weightOf(timestep) * error),
    ...byRange(errors, scoreRanges(config, settings.timestepBins)),
  };
}

/** Mean errors by equally wide ranges of the timesteps or blocks, those of ranges that have any. */
function byRange(errors: readonly BlockError[], ranges: readonly ScoreRange[]): ValidationScores {
  const groups = ranges.map(({ name, key, first, end }) => ({
    name,
    own: errors.filter((error) => error[key] >= first && error[key] < end),
  }));
  return Object.fromEntries(
    groups
      .filter(({ own }) => own.length > 0)
      .map(({ name, own }) => [name, mean(own, ({ error }) => error)]),
  );
}

/** Timesteps or blocks whose errors are averaged: from `first` up to `end`. */
interface ScoreRange {
  readonly name: string;
  readonly key: 'timestep' | 'block';
  readonly first: number;
  readonly end: number;
}

/** Ranges of the timesteps, then of the blocks. */
function scoreRanges(config: AcditConfig, timestepBins: number): ScoreRange[] {
  return [
    ...rangesOf('timestep', scheduleOf(config).trainSteps, timestepBins),
    ...rangesOf('block', config.blocks, Math.min(config.blocks, MAX_BLOCK_RANGES)),
  ];
}

function rangesOf(key: ScoreRange['key'], length: number, ranges: number): ScoreRange[] {
  const digits = String(length - 1).length;
  const numbered = (value: number): string => String(value).padStart(digits, '0');
  return Array.from({ length: ranges }, (_, range) => {
    const [first, end] = [Math.ceil((range * length) / ranges), Math.ceil(((range + 1) * length) / ranges)];
    const name = end - first === 1 ? numbered(first) : `${numbered(first)}-${numbered(end - 1)}`;
    return { name: `${key}-${name}`, key, first, end };
  });
}

/** Returns the names of all scores that a validation may have, such as `ema/loss`. */
export function validationScores(config: AcditConfig, timestepBins: number): string[] {
  const names = ['loss', ...scoreRanges(config, timestepBins).map(({ name }) => name)];
  return ['ema', 'raw'].flatMap((weights) => names.map((name) => `${weights}/${name}`));
}

function mean<T>(items: readonly T[], value: (item: T) => number): number {
  return items.reduce((sum, item) => sum + value(item), 0) / items.length;
}
