/** @file Evaluating a model while it is trained: samples of its averaged weights, compared with a reference. */

import { createHash, type Hash } from 'node:crypto';
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { openAutoencoder } from '../checkpoints/autoencoder.ts';
import { autoencoderFingerprint } from '../checkpoints/autoencoder-fingerprint.ts';
import { openImages } from '../data/open.ts';
import { describeGuidance } from '../diffusion/guidance.ts';
import { ConfigError } from '../errors.ts';
import { evaluate, type Metrics } from '../evaluation/evaluate.ts';
import { type EvaluationSet, requireSameNetwork } from '../evaluation/evaluation-set.ts';
import { completeSet, extractFeatures, provenance } from '../evaluation/extract.ts';
import type { FeatureNetwork } from '../evaluation/feature-network.ts';
import { datasetSource } from '../evaluation/idx-source.ts';
import { openSet } from '../evaluation/open-set.ts';
import { TITLES } from '../evaluation/report/metric-table.ts';
import { batchOf, type SampleSource } from '../evaluation/sample-source.ts';
import { closingAfter } from '../io/byte-source.ts';
import { sameClasses } from '../models/acdit/class-names.ts';
import { defaultGuidance, imageSize } from '../models/acdit/config.ts';
import type { Weights } from '../models/acdit/weights.ts';
import { defined } from '../records.ts';
import { tensorBytes } from '../tensor/tensor.ts';
import { readMetrics } from '../training/logging/jsonl.ts';
import { METRICS_FILE } from '../training/logging/open.ts';
import { isSplit, type Recipe } from '../training/recipe.ts';
import { requireBest } from '../training/recipe-sections.ts';
import { defaultBatch } from './batches.ts';
import { openFeatureNetwork } from './feature-network.ts';
import { canDraw, sampleImages, type TrainingSampleOptions } from './training-samples.ts';

/** The metrics that are one number. */
export type Scores = Readonly<Record<string, number>>;

export type TrainingEvaluation = Awaited<ReturnType<typeof openTrainingEvaluation>>;

/** What the model's images are called in messages. */
const SAMPLES = 'samples of the model';

type EvaluationRecipe = NonNullable<Recipe['evaluation']>;

/**
 * Open the network and the reference, whose features are kept.
 * @throws {AcditError} if one is missing, or they do not go together.
 */
export async function openTrainingEvaluation(options: TrainingSampleOptions, settings: EvaluationRecipe) {
  const { device, signal } = options;
  if (!canDraw(options)) {
    throw new ConfigError('recipe: evaluation of a model of latents needs an autoencoder, as output.vae');
  }
  requireBest(options.recipe.output.best, 'evaluation', Object.keys(TITLES));
  const network = await openFeatureNetwork(device, settings.network);
  const { reference, fingerprint } = await referenceSet(options, settings, network);
  requireSameNetwork(reference, provenance(network, SAMPLES));
  // Labels are another's where classes are.
  const labelled = sameClasses(network.classNames, options.config.classNames);
  const { vae } = options.recipe.output;
  return {
    /** Everything that the scores depend on besides the model's weights. */
    settings: {
      // Fingerprints of what files hold now: a path may hold something else tomorrow.
      network: network.name,
      ...network.protocol,
      reference: fingerprint,
      samples: settings.samples,
      ...samplingSettings(options, settings),
      ...(vae !== undefined && { autoencoder: await decoderFingerprint(vae, signal) }),
    },
    /**
     * Samples with these weights and compares.
     * @param onProgress gets the share that is done, 0 to 1.
     * @throws the signal's reason once it is aborted.
     */
    async run(weights: Weights, onProgress: (share: number) => void): Promise<Scores> {
      const source = modelSource(options, settings, weights);
      const { labels, ...samples } = await extractFeatures(device, network, source, { signal, onProgress });
      const set = labelled ? { ...samples, labels } : samples;
      return onlyNumbers(await evaluate(device, reference, set, { signal }));
    },
    dispose: () => network.dispose(),
  };
}

/** Solver steps, and guidance if it is not the model's, by default those of the sample grids. */
function sampling({ output }: Recipe, { steps = output.sampleSteps, cfg }: EvaluationRecipe) {
  return { steps, ...defined({ cfg }) };
}

/** How samples are made, as it is recorded: a scale alone as a number. */
function samplingSettings({ recipe, config }: TrainingSampleOptions, settings: EvaluationRecipe) {
  const { steps, cfg } = sampling(recipe, settings);
  const guidance = cfg === undefined ? defaultGuidance(config) : { scale: cfg };
  const { scale, interval, schedule } = guidance;
  if (typeof scale === 'number' && !interval && !schedule) return { steps, cfg: scale };
  return { steps, guidance: describeGuidance(guidance) };
}

async function decoderFingerprint(vae: string, signal: AbortSignal): Promise<string> {
  return closingAfter(await openAutoencoder(vae), async (stored) => {
    signal.throwIfAborted();
    return autoencoderFingerprint(stored, 'decoder');
  });
}

/** Returns the reference, and the fingerprint of its pixels, or of the numbers that are stored in place of them. */
async function referenceSet(
  { recipe, config, device, signal }: TrainingSampleOptions,
  { reference, references }: EvaluationRecipe,
  network: FeatureNetwork,
): Promise<{ readonly reference: EvaluationSet; readonly fingerprint: string }> {
  const hash = createHash('sha256');
  const fingerprint = (): string => hash.digest('hex').slice(0, 16);
  if (isSplit(reference)) {
    if (config.space === 'latents') {
      throw new ConfigError(
        `recipe: evaluation.reference '${reference}' means images of the data, which is latents; ` +
          'give the path of images or of an .npz',
      );
    }
    const { path, kind, imageSize, channels, classNames, exifOrientation, maxPixels } = recipe.data;
    const reading = { path, kind, imageSize, channels, classNames, exifOrientation, maxPixels };
    const images = await openImages({ ...reading, split: reference });
    const source = hashed(await datasetSource(images, references), hash);
    return {
      reference: await extractFeatures(device, network, source, { signal }),
      fingerprint: fingerprint(),
    };
  }
  return closingAfter(await openSet(reference, { maxPixels: recipe.data.maxPixels }), async (opened) => {
    const stored = opened.kind === 'features' ? opened.set : opened.stored;
    for (const numbers of storedNumbers(stored)) hash.update(numbers);
    const set = opened.kind === 'features' ? opened : { ...opened, images: hashed(opened.images, hash) };
    return { reference: await completeSet(device, network, set, { signal }), fingerprint: fingerprint() };
  });
}

/** The same samples, whose bytes are hashed as they are read. */
function hashed(source: SampleSource, hash: Hash): SampleSource {
  return {
    ...source,
    async *batches(size) {
      hash.update(`${source.count} of ${source.shape}`);
      for await (const batch of source.batches(size)) {
        hash.update(tensorBytes(batch));
        yield batch;
      }
    },
  };
}

/** The numbers of a set that metrics read from a reference. */
function storedNumbers({
  features,
  gaussian,
  spatial,
}: Partial<EvaluationSet> = {}): (Float32Array | Float64Array)[] {
  const statistics = [gaussian, spatial].flatMap((set) => (set ? [set.mean, set.covariance] : []));
  return features ? [features.data, ...statistics] : statistics;
}

/** Images as the model makes them, label after label. */
function modelSource(
  options: TrainingSampleOptions,
  settings: EvaluationRecipe,
  weights: Weights,
): SampleSource {
  const { recipe, config } = options;
  const { samples } = settings;
  const labels = Array.from({ length: samples }, (_, i) => i % config.classes);
  const { width, height } = imageSize(config);
  const shape = [height, width, config.space === 'pixels' ? config.channels : 3];
  return {
    name: SAMPLES,
    count: samples,
    shape,
    labels,
    async *batches(size) {
      const batch = Math.min(size, defaultBatch(config));
      const request = { labels, ...sampling(recipe, settings), seed: recipe.training.seed, batch };
      for await (const images of sampleImages(options, weights, request)) {
        yield batchOf(shape, images);
      }
    },
    async close() {},
  };
}

/** Returns scores under the names that they have in a log: those of their series. */
export function evaluationRecord(series: string, scores: Scores): Scores {
  return Object.fromEntries(Object.entries(scores).map(([name, value]) => [`${series}/${name}`, value]));
}

/** Whether the log of a run has scores of this series for this step. */
export function isEvaluated(folder: string, series: string, step: number): boolean {
  const path = join(folder, METRICS_FILE);
  return (
    existsSync(path) &&
    readMetrics(path).some(
      (line) => line.step === step && Object.keys(line).some((key) => key.startsWith(`${series}/`)),
    )
  );
}

/** `frechetDistance 12.3, precision 0.61`, ... */
export function describeScores(scores: Scores): string {
  return Object.entries(scores)
    .map(([name, value]) => `${name} ${Number(value.toPrecision(4))}`)
    .join(', ');
}

function onlyNumbers(metrics: Metrics): Scores {
  return Object.fromEntries(
    Object.entries(metrics).filter((entry): entry is [string, number] => typeof entry[1] === 'number'),
  );
}
