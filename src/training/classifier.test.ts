import { afterAll, describe, expect, it } from 'vitest';
import type { ImageDataset } from '../data/dataset.ts';
import { ShapeError, TrainingError } from '../errors.ts';
import { type ClassifierConfig, compileClassifier } from '../models/classifier/classifier.ts';
import { openCpu } from '../runtime/node.ts';
import { Generator } from '../tensor/generator.ts';
import type { Tensor } from '../tensor/tensor.ts';
import {
  type ClassifierStep,
  type ClassifierTraining,
  classifierAccuracy,
  trainClassifier,
} from './classifier.ts';

const device = openCpu({ threads: 1 });
afterAll(() => device.dispose());

const SIDE = 8;
const config: ClassifierConfig = {
  modelType: 'classifier',
  name: 'stripes',
  classNames: ['rows', 'columns', 'checks'],
  channels: 1,
  imageSize: SIDE,
  widths: [6, 8],
};

/** Noisy images of horizontal stripes, vertical ones, and a chessboard. */
function patterns(count: number, seed: number): ImageDataset {
  return {
    name: 'patterns',
    size: count,
    sampleShape: [1, 1, SIDE, SIDE],
    classNames: config.classNames,
    corruptCount: 0,
    fingerprint: async () => '',
    async read(index) {
      const label = index % 3;
      const noise = Generator.seeded(seed, index).randn(SIDE * SIDE);
      const values = noise.map((value, i) => {
        const [row, column] = [Math.floor(i / SIDE), i % SIDE];
        const on = [row, column, row + column][label] % 2;
        return 0.5 * (2 * on - 1) + 0.3 * value;
      });
      return { values, label };
    },
  };
}

const training: ClassifierTraining = {
  steps: 40,
  batch: 12,
  learningRate: 1e-2,
  warmupSteps: 5,
  weightDecay: 0.01,
  clip: 1,
  ema: 0.8,
  seed: 1,
};

const train = (changes: Partial<ClassifierTraining> = {}, onStep?: (step: ClassifierStep) => void) =>
  trainClassifier({
    config,
    dataset: patterns(60, 1),
    device,
    training: { ...training, ...changes },
    ...(onStep && { onStep }),
  });

const values = (weights: ReadonlyMap<string, Tensor<'float32'>>): number[][] =>
  [...weights.values()].map(({ data }) => [...data]);

describe('a classifier', () => {
  it('learns what it is shown, and knows it in images that it was not shown', async () => {
    const steps: ClassifierStep[] = [];
    const weights = await train({}, (step) => steps.push(step));
    expect(steps.map(({ step }) => step)).toEqual(Array.from({ length: 40 }, (_, i) => i + 1));
    expect(steps[0].loss).toBeGreaterThan(0.7); // close to log 3
    expect(steps[39].loss).toBeLessThan(0.2);
    expect(steps[39].accuracy).toBeGreaterThan(0.9);
    const classifier = await compileClassifier({ config, weights, device });
    expect(await classifierAccuracy(classifier, patterns(150, 2))).toBeGreaterThan(0.95);
  });

  it('is the same for the same seed, and another for another', async () => {
    const [first, again, other] = [
      await train({ steps: 6 }),
      await train({ steps: 6 }),
      await train({ steps: 6, seed: 2 }),
    ].map(values);
    expect(again).toEqual(first);
    expect(other).not.toEqual(first);
  });

  it('is refused a dataset of other classes or sizes', async () => {
    const dataset = patterns(6, 1);
    const refused = (changes: Partial<ImageDataset>) =>
      expect(trainClassifier({ config, dataset: { ...dataset, ...changes }, device, training })).rejects;
    await refused({ classNames: ['a', 'b', 'c'] }).toThrow(ShapeError);
    await refused({ classNames: ['a', 'b', 'c'] }).toThrow(
      /rows, columns, checks; the dataset's are a, b, c/,
    );
    await refused({ sampleShape: [1, 1, 8, 4] }).toThrow(/\[1,1,8,8\], the dataset's are \[1,1,8,4\]/);
  });

  it('says where its loss stops being a number', async () => {
    const dataset = patterns(6, 1);
    const broken = {
      ...dataset,
      read: async (index: number) => ({
        ...(await dataset.read(index))!,
        values: new Float32Array(64).fill(NaN),
      }),
    };
    await expect(trainClassifier({ config, dataset: broken, device, training })).rejects.toThrow(
      TrainingError,
    );
    await expect(trainClassifier({ config, dataset: broken, device, training })).rejects.toThrow(
      /^step 1: the loss is NaN/,
    );
  });

  it('stops when asked to', async () => {
    const controller = new AbortController();
    const done: number[] = [];
    const started = trainClassifier({
      config,
      dataset: patterns(60, 1),
      device,
      training,
      signal: controller.signal,
      onStep({ step }) {
        done.push(step);
        if (step === 2) controller.abort(new Error('enough'));
      },
    });
    await expect(started).rejects.toThrow('enough');
    expect(done).toEqual([1, 2]);
  });
});
