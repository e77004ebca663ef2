import { rmSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import { writeIdxDataset } from '../../test/support/idx-files.ts';
import { temporaryFolder } from '../../test/support/temporary-folder.ts';
import { loadIdxDataset } from '../data/idx-dataset.ts';
import { FormatError } from '../errors.ts';
import {
  type ClassifierConfig,
  compileClassifier,
  initializeClassifier,
} from '../models/classifier/classifier.ts';
import { openCpu } from '../runtime/node.ts';
import { Generator } from '../tensor/generator.ts';
import { float32, tensor } from '../tensor/tensor.ts';
import { evaluate } from './evaluate.ts';
import { extractFeatures } from './extract.ts';
import { classifierNetwork } from './feature-network.ts';
import { datasetSource, openIdxSource } from './idx-source.ts';
import { openSet } from './open-set.ts';

const device = openCpu({ threads: 1 });
afterAll(() => device.dispose());

const config: ClassifierConfig = {
  modelType: 'classifier',
  name: 'tiny',
  classNames: ['a', 'b', 'c'],
  channels: 1,
  imageSize: 8,
  widths: [4, 5],
};
const weights = initializeClassifier(config, new Generator(1));

describe('a classifier as a feature network', () => {
  it('sees smaller images in the middle of a dark frame', async () => {
    const network = await classifierNetwork(device, { config, weights });
    const bytes = Uint8Array.from({ length: 2 * 36 }, (_, i) => (i * 37) % 256);
    const { features, logits } = await network.extract(tensor('uint8', [2, 6, 6, 1], bytes));
    const framed = new Float32Array(2 * 64).fill(-1);
    bytes.forEach((byte, i) => {
      const [n, row, column] = [Math.floor(i / 36), Math.floor(i / 6) % 6, i % 6];
      framed[n * 64 + (row + 1) * 8 + column + 1] = byte / 127.5 - 1;
    });
    const classifier = await compileClassifier({ config, weights, device });
    expect({ features, logits }).toEqual(await classifier.classify(float32([2, 1, 8, 8], framed)));
    await expect(network.extract(tensor('uint8', [1, 9, 8, 1], new Uint8Array(72)))).rejects.toThrow(
      FormatError,
    );
    await network.dispose();
  });

  it('is named after itself and its weights', async () => {
    const names = [weights, initializeClassifier(config, new Generator(2))].map(
      async (some) => (await classifierNetwork(device, { config, weights: some })).name,
    );
    const [first, second] = await Promise.all(names);
    expect(first).toMatch(/^tiny-[0-9a-f]{8}$/);
    expect(second).not.toBe(first);
  });

  it('judges samples by their labels, and gives no Inception Score', async () => {
    const path = join(
      writeIdxDataset(temporaryFolder(), { count: 30, side: 8, classes: 3 }),
      'train-images-idx3-ubyte.gz',
    );
    const opened = await openSet(path);
    if (opened.kind !== 'images') throw new Error('expected images');
    const network = await classifierNetwork(device, { config, weights });
    const set = await extractFeatures(device, network, opened.images);
    expect(set.features?.shape).toEqual([30, 5]);
    const metrics = await evaluate(device, set, set);
    expect(metrics.inceptionScore).toBeUndefined();
    const { a, b, c } = metrics.labelAccuracyByClass!;
    expect(metrics.labelAccuracy).toBeCloseTo((a + b + c) / 3, 12);
    expect(metrics.frechetDistance).toBeCloseTo(0, 6);
    expect(metrics.fid).toBeUndefined();
  });
});

describe('IDX files as a set', () => {
  it('are their images and labels', async () => {
    const folder = writeIdxDataset(temporaryFolder(), { count: 7, side: 4, classes: 3 });
    const source = await openIdxSource(join(folder, 'train-images-idx3-ubyte.gz'));
    expect(source).toMatchObject({ count: 7, shape: [4, 4, 1] });
    expect(Array.from(source.labels!)).toEqual([0, 1, 2, 0, 1, 2, 0]);
    const batches = [];
    for await (const { shape, data } of source.batches(3))
      batches.push({ shape, first: data[0], last: data.at(-1) });
    expect(batches).toEqual([
      { shape: [3, 4, 4, 1], first: 0, last: 2 },
      { shape: [3, 4, 4, 1], first: 3, last: 5 },
      { shape: [1, 4, 4, 1], first: 6, last: 6 },
    ]);
  });

  it('need no labels', async () => {
    const folder = writeIdxDataset(temporaryFolder(), { count: 7, side: 4, classes: 3 });
    rmSync(join(folder, 'train-labels-idx1-ubyte.gz'));
    const source = await openIdxSource(join(folder, 'train-images-idx3-ubyte.gz'));
    expect(source).toMatchObject({ count: 7, labelProblem: expect.stringMatching(/but no train-labels/) });
    expect(source.labels).toBeUndefined();
  });

  it('can be some of them', async () => {
    const folder = writeIdxDataset(temporaryFolder(), { count: 7, side: 4, classes: 3 });
    const source = await datasetSource(await loadIdxDataset(folder, { imageSize: 6 }), 2);
    expect(source).toMatchObject({ count: 2, shape: [6, 6, 1], labels: [0, 1] });
  });
});
