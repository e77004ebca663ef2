import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { writeIdxDataset } from '../../test/support/idx-files.ts';
import { temporaryFolder } from '../../test/support/temporary-folder.ts';
import { ConfigError } from '../errors.ts';
import { Generator } from '../tensor/generator.ts';
import { type Batch, batches } from './batches.ts';
import type { ImageDataset, SampleShape } from './dataset.ts';
import type { DatasetOptions } from './kinds.ts';
import { movingItems } from './moving-items.ts';
import { openDataset } from './open.ts';

/** Image i is of the value i / 10 all over, with label i % 3. */
function plain(height = 3, width = 3, channels: 1 | 3 = 1): ImageDataset {
  return {
    name: 'plain',
    size: 10,
    sampleShape: [1, channels, height, width],
    classNames: ['a', 'b', 'c'],
    corruptCount: 0,
    fingerprint: async () => 'plain',
    read: async (index) => ({
      values: new Float32Array(channels * height * width).fill(index / 10),
      label: index % 3,
    }),
  };
}

/** Frames of a clip, each a list of planes of rows. */
function framesOf(values: Float32Array, [frames, channels, height, width]: SampleShape): number[][][][] {
  const row = (at: number): number[] => [...values.subarray(at * width, (at + 1) * width)];
  return Array.from({ length: frames }, (_, t) =>
    Array.from({ length: channels }, (_, c) =>
      Array.from({ length: height }, (_, y) => row((t * channels + c) * height + y)),
    ),
  );
}

describe('moving items', () => {
  it('keep their pixels in every frame, whole and inside', async () => {
    const size = fc.integer({ min: 1, max: 6 });
    await fc.assert(
      fc.asyncProperty(size, size, fc.nat(9), fc.nat(), async (height, width, index, seed) => {
        const clips = movingItems(plain(height, width, 3), { frames: 9, canvas: 8, speed: [0, 9] });
        expect(clips.sampleShape).toEqual([9, 3, 8, 8]);
        const { values, label } = (await clips.read(index, new Generator(seed)))!;
        expect(label).toBe(index % 3);
        for (const [plane, ...others] of framesOf(values, clips.sampleShape)) {
          const lit = plane.map((row) => row.filter((value) => value > -1));
          expect(lit.filter((row) => row.length === width)).toHaveLength(height);
          expect(lit.flat()).toEqual(new Array(height * width).fill(Math.fround(index / 10)));
          for (const other of others) expect(other).toEqual(plane); // channels move together
        }
      }),
      { numRuns: 40 },
    );
  });

  it('move by at least the slowest speed and bounce', async () => {
    const clips = movingItems(plain(), { frames: 16, canvas: 12, speed: [2, 2] });
    const { values } = (await clips.read(9, new Generator(3)))!;
    const places = framesOf(values, clips.sampleShape).map(([plane]) => plane.flat().findIndex((v) => v > 0));
    expect(new Set(places).size).toBeGreaterThan(6);
    const rows = places.map((place) => Math.floor(place / 12));
    const turns = rows.filter((row, t) => t > 1 && (row - rows[t - 1]) * (rows[t - 1] - rows[t - 2]) < 0);
    expect(turns.length).toBeGreaterThan(0);
  });

  it('depend on the generator and the index alone, and not on the size of the batch', async () => {
    const clips = movingItems(plain(), { frames: 4, canvas: 8, items: 2 });
    const read = (index: number, seed: number) => clips.read(index, new Generator(seed));
    expect(await read(4, 1)).toEqual(await read(4, 1));
    expect(await read(4, 1)).not.toEqual(await read(4, 2));
    const take = async (batchSize: number, count: number, position = 0): Promise<Batch[]> => {
      const taken: Batch[] = [];
      for await (const batch of batches(clips, { batchSize, seed: 5, position })) {
        taken.push(batch);
        if (taken.length === count) return taken;
      }
      return taken;
    };
    const joined = (taken: Batch[]): number[] => taken.flatMap(({ samples }) => [...samples.data]);
    const one = joined(await take(1, 24));
    expect(joined(await take(12, 2))).toEqual(one);
    expect(joined(await take(4, 6))).toEqual(one);
    expect(joined(await take(4, 1, 20))).toEqual(one.slice((20 * one.length) / 24));
    // The second epoch shows each image with another motion.
    const [first] = await take(1, 1);
    const order = (await take(1, 20)).slice(10).find(({ labels, samples }) => {
      const brightest = (data: Float32Array): number => data.reduce((a, b) => Math.max(a, b));
      return labels[0] === first.labels[0] && brightest(samples.data) === brightest(first.samples.data);
    });
    expect(order?.samples.data).not.toEqual(first.samples.data);
  });

  it('are as many as asked for, with the class of the first', async () => {
    const clips = movingItems(plain(2, 2), { frames: 1, canvas: 40, items: 3 });
    let apart = 0;
    for (let seed = 0; seed < 20; seed++) {
      const { values, label } = (await clips.read(7, new Generator(seed)))!;
      expect(label).toBe(1);
      if (values.filter((value) => value > -1).length === 12) apart++;
      expect(values.filter((value) => value === Math.fround(0.7)).length).toBeGreaterThanOrEqual(1);
    }
    expect(apart).toBeGreaterThan(10);
  });

  it('are scaled to a size along their longer side', async () => {
    const clips = movingItems(plain(8, 4), { frames: 2, canvas: 8, itemSize: 6 });
    const [[plane]] = framesOf((await clips.read(5, new Generator(0)))!.values, clips.sampleShape);
    const lit = plane.map((row) => row.filter((value) => value > -1).length).filter((count) => count > 0);
    expect(lit).toEqual([3, 3, 3, 3, 3, 3]);
  });

  it('must fit', () => {
    expect(() => movingItems(plain(9, 3), { frames: 2, canvas: 8 })).toThrow(ConfigError);
    expect(() => movingItems(plain(9, 3), { frames: 2, canvas: 8 })).toThrow(
      /items of 9 x 3 do not fit on a canvas of 8 x 8/,
    );
    expect(() => movingItems(plain(), { frames: 2, canvas: 8, speed: [3, 1] })).toThrow(
      /slowest and then the fastest/,
    );
  });
});

describe('IDX files', () => {
  const open = (changes: Partial<DatasetOptions>) => {
    const path = writeIdxDataset(temporaryFolder(), { count: 6, side: 4, classes: 2 });
    return openDataset({ path, imageSize: 8, ...changes });
  };

  it('are set in motion where frames are asked for', async () => {
    expect((await open({ frames: 3, channels: 3, speed: [1, 2], items: 2 })).sampleShape).toEqual([
      3, 3, 8, 8,
    ]);
    expect((await open({ kind: 'moving-idx', frames: 1 })).sampleShape).toEqual([1, 1, 8, 8]);
    expect((await open({})).sampleShape).toEqual([1, 1, 8, 8]);
  });

  it.each<[Partial<DatasetOptions>, RegExp]>([
    [{ kind: 'moving-idx' }, /frames is missing/],
    [{ frames: 2, imageSize: undefined }, /imageSize is missing; say how large the canvas/],
    [{ kind: 'idx', frames: 2 }, /frames is for data of kind moving-idx.* and this is idx/],
    [{ items: 2 }, /items is for data of kind moving-idx/],
    [{ frames: 2, imageSize: 3 }, /do not fit on a canvas/],
  ])('are refused with %j', async (changes, message) => {
    await expect(open(changes)).rejects.toThrow(ConfigError);
    await expect(open(changes)).rejects.toThrow(message);
  });
});
