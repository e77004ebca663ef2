/** @file Evaluating a model while it is trained: samples of its averaged weights, compared with a reference. */

import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { localDecoder, pixelDecoder } from '../decoding/decoder.ts';
import { ConfigError } from '../errors.ts';
import { evaluate, type Metrics } from '../evaluation/evaluate.ts';
import type { EvaluationSet } from '../evaluation/evaluation-set.ts';
import { completeSet, extractFeatures } from '../evaluation/extract.ts';
import type { FeatureNetwork } from '../evaluation/feature-network.ts';
import { datasetSource } from '../evaluation/idx-source.ts';
import { openSet } from '../evaluation/open-set.ts';
import type { SampleSource } from '../evaluation/sample-source.ts';
import { framesOf } from '../media/frames.ts';
import { sameClasses } from '../models/acdit/class-difference.ts';
import { type AcditConfig, PAPER_DOWNSAMPLING } from '../models/acdit/config.ts';
import type { Weights } from '../models/acdit/weights.ts';
import { createSampler } from '../sampling/sampler.ts';
import { tensor } from '../tensor/tensor.ts';
import { openImages } from '../training/datasets/open.ts';
import { readMetrics } from '../training/logging/jsonl.ts';
import { METRICS_FILE } from '../training/logging/open.ts';
import { isSplit, type Recipe } from '../training/recipe.ts';
import { openFeatureNetwork } from './feature-network.ts';
import { defaultBatch, sampleBatches } from './sample-batches.ts';
import { canDraw, type TrainingSampleOptions } from './training-samples.ts';

/** The metrics that are one number. */
export type Scores = Readonly<Record<string, number>>;

export interface TrainingEvaluation {
  /**
   * Sample with these weights and compare.
   * @param onProgress gets the share that is done, 0 to 1.
   * @throws the signal's reason once it is aborted.
   */
  run(weights: Weights, onProgress: (share: number) => void): Promise<Scores>;
  dispose(): Promise<void>;
}

type EvaluationRecipe = NonNullable<Recipe['evaluation']>;

/**
 * Open the network and the reference, whose features are kept.
 * @throws {AcditError} if one is not there, or they do not go together.
 */
export async function openTrainingEvaluation(
  options: TrainingSampleOptions,
  settings: EvaluationRecipe,
): Promise<TrainingEvaluation> {
  const { device, signal } = options;
  if (!canDraw(options)) {
    throw new ConfigError('recipe: evaluation of a model of latents needs an autoencoder, as output.vae');
  }
  const network = await openFeatureNetwork(device, settings.network);
  const reference = await referenceSet(options, settings, network);
  // Labels are another's where classes are.
  const labelled = sameClasses(network.classNames, options.config.classNames);
  return {
    async run(weights, onProgress) {
      const source = modelSource(options, settings, weights);
      const { labels, ...samples } = await extractFeatures(device, network, source, { signal, onProgress });
      const set = labelled ? { ...samples, labels } : samples;
      return onlyNumbers(await evaluate(device, reference, set, { signal }));
    },
    dispose: () => network.dispose(),
  };
}

async function referenceSet(
  { recipe, config, device, signal }: TrainingSampleOptions,
  { reference, references }: EvaluationRecipe,
  network: FeatureNetwork,
): Promise<EvaluationSet> {
  const features = async (source: SampleSource): Promise<EvaluationSet> => {
    try {
      return await extractFeatures(device, network, source, { signal });
    } finally {
      await source.close();
    }
  };
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
    return features(await datasetSource(images, references));
  }
  const opened = await openSet(reference, { maxPixels: recipe.data.maxPixels });
  try {
    return await completeSet(device, network, opened, { signal });
  } finally {
    if (opened.kind === 'images') await opened.images.close();
  }
}

/** Images as the model makes them, label after label. */
function modelSource(
  { recipe, config, device, signal }: TrainingSampleOptions,
  { samples, steps = recipe.output.sampleSteps, cfg = recipe.output.cfg }: EvaluationRecipe,
  weights: Weights,
): SampleSource {
  const labels = Array.from({ length: samples }, (_, i) => i % config.classes);
  const { vae } = recipe.output;
  const { seed } = recipe.training;
  return {
    name: 'samples of the model',
    count: samples,
    shape: imageShape(config),
    labels,
    async *batches(size) {
      const decoder =
        vae === undefined
          ? pixelDecoder(config)
          : localDecoder({ config, vae, threads: device.threads }, signal);
      const sampler = await createSampler({ config, weights, device, signal });
      const batch = Math.min(size, defaultBatch(config));
      const request = { labels, steps, cfg, seed, solver: 'dpm-solver-plus-plus-2m', batch } as const;
      try {
        for await (const latents of sampleBatches(sampler, request, { signal })) {
          const images = framesOf(await decoder.decode(latents)).flat();
          const { height, width, channels } = images[0];
          const data = new Uint8Array(images.length * images[0].data.length);
          for (const [i, image] of images.entries()) data.set(image.data, i * image.data.length);
          yield tensor('uint8', [images.length, height, width, channels], data);
        }
      } finally {
        await sampler.dispose();
        await decoder.close();
      }
    },
    async close() {},
  };
}

/** How a log names what an evaluation gave. */
const PREFIX = 'evaluation/';

/** Scores as a log has them. */
export function evaluationRecord(scores: Scores): Scores {
  return Object.fromEntries(Object.entries(scores).map(([name, value]) => [PREFIX + name, value]));
}

/** Whether the log of a run has an evaluation of this step. */
export function isEvaluated(folder: string, step: number): boolean {
  const path = join(folder, METRICS_FILE);
  return (
    existsSync(path) &&
    readMetrics(path).some(
      (line) => line.step === step && Object.keys(line).some((key) => key.startsWith(PREFIX)),
    )
  );
}

/** `frechetDistance 12.3, precision 0.61`, ... */
export function describeScores(scores: Scores): string {
  return Object.entries(scores)
    .map(([name, value]) => `${name} ${Number(value.toPrecision(4))}`)
    .join(', ');
}

/** Of one image that is decoded: height, width, channels. */
function imageShape({
  space,
  height,
  width,
  channels,
  downsampling = PAPER_DOWNSAMPLING,
}: AcditConfig): number[] {
  return space === 'pixels' ? [height, width, channels] : [height * downsampling, width * downsampling, 3];
}

function onlyNumbers(metrics: Metrics): Scores {
  return Object.fromEntries(
    Object.entries(metrics).filter((entry): entry is [string, number] => typeof entry[1] === 'number'),
  );
}
