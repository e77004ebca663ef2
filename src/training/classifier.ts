/**
 * @file Training a classifier: cross-entropy, AdamW, a moving average of the weights. The loss and its gradient are one
 * graph, and everything random follows from the seed, so the same call gives the same weights.
 */

import { at, get } from '../at.ts';
import type { Augmentation } from '../data/augment.ts';
import { batches } from '../data/batches.ts';
import type { Dataset, ImageDataset } from '../data/dataset.ts';
import { ShapeError } from '../errors.ts';
import { type Graph, graphOf } from '../graph/onnx.ts';
import { logSoftmax, multiply, negate, reduceMean, reduceSum } from '../graph/operators/index.ts';
import { input } from '../graph/symbolic.ts';
import { printableList } from '../io/printable.ts';
import { sameClasses } from '../models/acdit/class-names.ts';
import {
  type Classifier,
  type ClassifierConfig,
  classifierInputs,
  classify,
  initializeClassifier,
  predictedClasses,
} from '../models/classifier/classifier.ts';
import type { Device } from '../runtime/device.ts';
import { joinArrays } from '../tensor/axes.ts';
import { Generator } from '../tensor/generator.ts';
import { float32, type Tensor } from '../tensor/tensor.ts';
import { namedGradients } from './gradient-graphs.ts';
import { prefixed } from './gradient-pass.ts';
import { learningRate } from './learning-rate.ts';
import { clipFactor, compileOptimizer, initialState, requireFinite, zerosLike } from './optimizer.ts';

/** A training's settings. */
export interface ClassifierTraining {
  readonly steps: number;
  /** Images per step. */
  readonly batch: number;
  /** The highest rate; after `warmupSteps` it falls to 0 along half a cosine. */
  readonly learningRate: number;
  readonly warmupSteps: number;
  readonly weightDecay: number;
  /** Largest gradient norm. */
  readonly clip: number;
  /** Decay of the moving average of the weights. */
  readonly ema: number;
  readonly seed: number;
  readonly augmentation?: Augmentation;
}

/** The result of a step. */
export interface ClassifierStep {
  /** Optimizer steps done, this one included. */
  readonly step: number;
  /** Mean cross-entropy of the batch. */
  readonly loss: number;
  /** Share of the batch that was named rightly. */
  readonly accuracy: number;
}

/** What a classifier learns from, and how. */
export interface ClassifierOptions {
  readonly config: ClassifierConfig;
  /** Images, whose labels are the places of their names in the configuration. */
  readonly dataset: Dataset;
  readonly device: Device;
  readonly training: ClassifierTraining;
  readonly signal?: AbortSignal;
  /** Called after each step. */
  readonly onStep?: (step: ClassifierStep) => void;
}

const BETAS = [0.9, 0.99] as const;
const EPSILON = 1e-8;
/** Images at a time where the accuracy is measured. */
const ACCURACY_BATCH = 100;

/**
 * Train a classifier from random weights.
 * @returns the moving average of the weights
 * @throws {ShapeError} if the images or classes are not those of the configuration.
 * @throws {TrainingError} if the loss is no longer a number.
 * @throws the signal's reason once it is aborted.
 */
export async function trainClassifier(
  options: ClassifierOptions,
): Promise<ReadonlyMap<string, Tensor<'float32'>>> {
  const { config, dataset, device, training, signal, onStep } = options;
  requireFit(config, dataset);
  const { steps, batch, seed, clip, augmentation } = training;
  const state = initialState(initializeClassifier(config, Generator.seeded(seed)));
  const gradients = zerosLike(state.weights);
  const into = prefixed(Object.fromEntries(gradients));
  const program = await device.compile(lossGraph(config, batch));
  const optimizer = await compileOptimizer(device, { ...training, betas: BETAS, epsilon: EPSILON });
  const source = batches(dataset, {
    batchSize: batch,
    seed,
    ...(augmentation && { augmentation }),
    ...(signal && { signal }),
  });
  const schedule = {
    kind: 'cosine',
    peak: training.learningRate,
    totalSteps: steps,
    warmupSteps: training.warmupSteps,
  } as const;
  try {
    for (let step = 1; step <= steps; step++) {
      const { samples, labels } = (await source.next()).value;
      const images = float32(samples.shape.toSpliced(1, 1), samples.data); // (N, 1, C, H, W) as (N, C, H, W)
      const feeds = { images, targets: oneHot(labels, config.classNames.length) };
      const outputs = await program.run({ ...feeds, ...Object.fromEntries(state.weights) }, into);
      const loss = Number(get(outputs, 'loss').data[0]);
      const norm = await optimizer.norm(gradients);
      requireFinite(step, loss, norm, 'try a lower learningRate or more warmupSteps');
      await optimizer.step(state, gradients, {
        step,
        learningRate: learningRate(schedule, step - 1),
        gradientScale: clipFactor(norm, clip),
      });
      const predicted = predictedClasses(get(outputs, 'logits'));
      const right = predicted.filter((label, i) => label === labels[i]);
      onStep?.({ step, loss, accuracy: right.length / batch });
    }
    return state.ema;
  } finally {
    await source.return(undefined as never);
    await program.dispose();
    await optimizer.dispose();
  }
}

/** Share of a dataset's images that a classifier names rightly. @throws {ShapeError} if they do not go together. */
export async function classifierAccuracy(
  classifier: Classifier,
  dataset: ImageDataset,
  signal?: AbortSignal,
): Promise<number> {
  requireFit(classifier.config, dataset);
  let right = 0;
  let total = 0;
  for (let start = 0; start < dataset.size; start += ACCURACY_BATCH) {
    signal?.throwIfAborted();
    const count = Math.min(ACCURACY_BATCH, dataset.size - start);
    const reads = Array.from({ length: count }, (_, i) => dataset.read(start + i));
    const samples = (await Promise.all(reads)).filter((sample) => sample !== undefined);
    const values = samples.map((sample) => sample.values);
    const shape = [samples.length, ...dataset.sampleShape.slice(1)];
    const { logits } = await classifier.classify(float32(shape, joinArrays('float32', values)));
    right += predictedClasses(logits).filter((label, i) => label === at(samples, i).label).length;
    total += samples.length;
  }
  return right / total;
}

/** Mean cross-entropy of `images` (N, C, H, W) with `targets` (N, classes), and the gradients of all weights. */
function lossGraph(config: ClassifierConfig, samples: number): Graph {
  const weights = classifierInputs(config);
  const images = input('images', [samples, config.channels, config.imageSize, config.imageSize]);
  const targets = input('targets', [samples, config.classNames.length]);
  const { logits } = classify(config, weights, images);
  const loss = negate(reduceMean(reduceSum(multiply(targets, logSoftmax(logits)), [-1]), [0]));
  return graphOf({ loss, logits, ...namedGradients(loss, Object.values(weights)) });
}

function oneHot(labels: Int32Array, classes: number): Tensor<'float32'> {
  const data = new Float32Array(labels.length * classes);
  for (const [i, label] of labels.entries()) data[i * classes + label] = 1;
  return float32([labels.length, classes], data);
}

function requireFit({ channels, imageSize, classNames }: ClassifierConfig, dataset: Dataset): void {
  const expected = [1, channels, imageSize, imageSize];
  if (dataset.sampleShape.join() !== expected.join()) {
    throw new ShapeError(
      `${dataset.name}: the classifier takes images of shape [${expected}], the dataset's are [${dataset.sampleShape}]`,
    );
  }
  if (!sameClasses(dataset.classNames, classNames)) {
    throw new ShapeError(
      `${dataset.name}: the classifier's classes are ${printableList(classNames)}; the dataset's are ${printableList(dataset.classNames)}`,
    );
  }
}
