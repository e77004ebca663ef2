/** @file A training checkpoint of the largest model, 15 GB of it: only what is asked for is read. */

import { stat } from 'node:fs/promises';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { openOfficial, type WeightsChoice } from '../src/checkpoints/official.ts';
import { openTorchCheckpoint } from '../src/formats/torch/checkpoint.ts';
import type { ByteSource } from '../src/io/byte-source.ts';
import { openFile } from '../src/io/file-source.ts';
import { parameters } from '../src/models/acdit/weights.ts';
import { elementCount, float32, tensorBytes } from '../src/tensor/tensor.ts';
import { paperImageConfig } from './support/formula-weights.ts';
import { int, pickle, tensor, text, tuple } from './support/pickle-writer.ts';
import { type SparseMember, writeSparseZip } from './support/sparse-zip.ts';
import { temporaryFolder } from './support/temporary-folder.ts';

const config = paperImageConfig('H');
const shapes = [...parameters(config)];

const dict = (entries: readonly (readonly [string, string])[]): string =>
  `}(${entries.map(([key, value]) => text(key) + value).join('')}u`;

/** One set of tensors as large as the model, in storages that begin with `prefix`. */
function tensors(prefix: string): (readonly [string, string])[] {
  return shapes.map(([parameter, shape], i) => {
    const strides = shape.map((_, axis) => int(elementCount(shape.slice(axis + 1))));
    const count = int(elementCount(shape));
    return [parameter, tensor({ key: `${prefix}${i}`, count, shape: shape.map(int), strides })];
  });
}

const SETS = ['model', 'ema', 'first', 'second'];
const bias = shapes.findIndex(([parameter]) => parameter === 'final_layer.linear.bias');
const biasOf = (prefix: string) => float32([4], [1, 2, 3, SETS.indexOf(prefix)]);

/** As the official trainer saves: weights, their average, and the two moments of Adam. */
function checkpointMembers(): SparseMember[] {
  const args = dict(
    Object.entries({ patch_size: 1, image_size: 256, block_size: 256, ar_len: 4 }).map(([key, value]) => [
      key,
      int(value),
    ]),
  );
  const value = dict([
    ['model', dict(tensors('model'))],
    ['ema', dict(tensors('ema'))],
    ['opt', dict([['state', tuple(dict(tensors('first')), dict(tensors('second')))]])],
    ['args', `cargparse\nNamespace\n)\x81${args}b`],
  ]);
  const storages = SETS.flatMap((prefix) =>
    shapes.map(
      ([, shape], i): SparseMember => [
        `archive/data/${prefix}${i}`,
        i === bias ? tensorBytes(biasOf(prefix)) : 4 * elementCount(shape),
      ],
    ),
  );
  return [['archive/data.pkl', pickle(value)], ...storages, ['archive/version', Buffer.from('3\n')]];
}

/** Larger reads are of weights. */
const LARGEST_DESCRIPTION = 2 ** 20;

/** A source that notes what is read. Of the holes it makes zeros itself, which take no memory until they are touched. */
function notingSource(source: ByteSource): { source: ByteSource; ranges: [start: number, end: number][] } {
  const ranges: [number, number][] = [];
  const read = async (offset: number, length: number): Promise<Uint8Array> => {
    ranges.push([offset, offset + length]);
    return length > LARGEST_DESCRIPTION ? new Uint8Array(length) : source.read(offset, length);
  };
  return { source: { ...source, read }, ranges };
}

it.each<WeightsChoice>(['model', 'ema'])('of a 15 GB checkpoint only %s is read', async (choice) => {
  const path = join(temporaryFolder(), 'training.pt');
  const places = await writeSparseZip(path, checkpointMembers());
  const { size, blocks } = await stat(path);
  expect(size).toBeGreaterThan(15e9);
  expect(blocks * 512).toBeLessThan(50e6); // the file is holes

  const { source, ranges } = notingSource(await openFile(path));
  const opened = openOfficial(await openTorchCheckpoint(source), path, { weights: choice });
  expect(opened.config).toMatchObject({ layers: 32, hidden: 1280, heads: 20, blocks: 4 });
  expect(ranges.reduce((sum, [start, end]) => sum + end - start, 0)).toBeLessThan(3e6);

  const before = ranges.length;
  const { archive } = opened;
  expect(await archive.read('final_layer.linear.bias')).toEqual(biasOf(choice));
  const few = archive.names.filter((parameter) => !/^blocks\.(?!0\.)/.test(parameter)); // one layer stands for all
  for (const parameter of few) await archive.read(parameter);
  const own = [...places].filter(([member]) => member.startsWith(`archive/data/${choice}`));
  const HEADER = 60;
  for (const [start, end] of ranges.slice(before)) {
    expect(own.some(([, place]) => start >= place.start - HEADER && end <= place.end)).toBe(true);
  }
  await archive.close();
});
