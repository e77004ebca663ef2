import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { ArgumentError, DatasetError } from '../errors.ts';
import { Generator } from '../tensor/generator.ts';
import { augment, flipHorizontally, shift } from './augment.ts';
import { type Batch, type BatchOptions, batches, epochOrder } from './batches.ts';
import type { Dataset, SampleShape } from './dataset.ts';

/** Image i has the values i, i + 1000 and label i; those in `corrupt` cannot be read. */
function numbers(size: number, corrupt: readonly number[] = []) {
  const reads: number[] = [];
  const dataset: Dataset = {
    name: 'numbers',
    size,
    sampleShape: [1, 1, 1, 2],
    classNames: Array.from({ length: size }, (_, i) => String(i)),
    corruptCount: 0,
    async read(index) {
      reads.push(index);
      return corrupt.includes(index)
        ? undefined
        : { values: Float32Array.of(index, index + 1000), label: index };
    },
  };
  return { dataset, reads };
}

async function take(count: number, dataset: Dataset, options: BatchOptions): Promise<Batch[]> {
  const taken: Batch[] = [];
  for await (const batch of batches(dataset, options)) {
    taken.push(batch);
    if (taken.length === count) break;
  }
  return taken;
}

const labelsOf = (taken: readonly Batch[]) => taken.flatMap(({ labels }) => [...labels]);

describe('batches', () => {
  it('show every sample once an epoch, in another order each', async () => {
    const taken = labelsOf(await take(5, numbers(10).dataset, { batchSize: 4, seed: 1 }));
    expect(taken).toEqual([...epochOrder(10, 1, 0), ...epochOrder(10, 1, 1)]);
    expect([...taken.slice(0, 10)].sort((a, b) => a - b)).toEqual([0, 1, 2, 3, 4, 5, 6, 7, 8, 9]);
    expect(taken.slice(0, 10)).not.toEqual(taken.slice(10));
    expect(taken).not.toEqual(labelsOf(await take(5, numbers(10).dataset, { batchSize: 4, seed: 2 })));
  });

  it('hold samples (N, frames, C, H, W), labels and their position', async () => {
    const [first, second] = await take(2, numbers(10).dataset, { batchSize: 3, seed: 1 });
    expect(first.samples.shape).toEqual([3, 1, 1, 1, 2]);
    expect([...first.samples.data]).toEqual([...first.labels].flatMap((label) => [label, label + 1000]));
    expect([first.position, second.position]).toEqual([0, 3]);
  });

  it('resume from any position as if never interrupted', async () => {
    const size = fc.integer({ min: 1, max: 12 });
    const small = fc.integer({ min: 1, max: 5 });
    await fc.assert(
      fc.asyncProperty(size, small, small, async (count, batchSize, skipped) => {
        const { dataset } = numbers(count, [count]);
        const options = { batchSize, seed: 7, augmentation: { horizontalFlip: true, cropPadding: 1 } };
        const whole = await take(skipped + 2, dataset, options);
        const rest = await take(2, dataset, { ...options, position: skipped * batchSize });
        expect(rest).toEqual(whole.slice(skipped));
      }),
      { numRuns: 25 },
    );
  });

  it('put the next good sample in place of a corrupt one', async () => {
    const order = [...epochOrder(5, 3, 0)];
    const { dataset } = numbers(5, [order[1], order[4]]);
    const [batch] = await take(1, dataset, { batchSize: 5, seed: 3 });
    expect([...batch.labels]).toEqual([order[0], order[2], order[2], order[3], order[0]]);
  });

  it('fail when nothing can be read', async () => {
    const { dataset } = numbers(2, [0, 1]);
    await expect(take(1, dataset, { batchSize: 1, seed: 0 })).rejects.toThrow(DatasetError);
    await expect(take(1, dataset, { batchSize: 0, seed: 0 })).rejects.toThrow(ArgumentError);
  });

  it('are read ahead by as many as asked for', async () => {
    for (const prefetch of [0, 1, 3]) {
      const { dataset, reads } = numbers(100);
      await take(1, dataset, { batchSize: 2, seed: 0, prefetch });
      expect(reads).toHaveLength(2 * (1 + prefetch));
    }
  });

  it('end when aborted', async () => {
    const controller = new AbortController();
    const seen: Batch[] = [];
    const run = async () => {
      const options = { batchSize: 2, seed: 0, signal: controller.signal };
      for await (const batch of batches(numbers(10).dataset, options)) {
        seen.push(batch);
        if (seen.length === 2) controller.abort(new Error('stopped'));
      }
    };
    await expect(run()).rejects.toThrow('stopped');
    expect(seen).toHaveLength(2);
  });
});

describe('augment', () => {
  const shape: SampleShape = [1, 1, 2, 3];
  const image = Float32Array.of(1, 2, 3, 4, 5, 6);

  it('mirrors rows', () => {
    expect([...flipHorizontally(image, shape)]).toEqual([3, 2, 1, 6, 5, 4]);
  });

  it.each([
    [0, 0, [1, 2, 3, 4, 5, 6]],
    [1, 0, [9, 9, 9, 1, 2, 3]],
    [-1, 0, [4, 5, 6, 9, 9, 9]],
    [0, 1, [9, 1, 2, 9, 4, 5]],
    [0, -2, [3, 9, 9, 6, 9, 9]],
    [5, 0, [9, 9, 9, 9, 9, 9]],
    [0, -5, [9, 9, 9, 9, 9, 9]],
  ])('moves by %i rows and %i columns', (down, right, expected) => {
    expect([...shift(image, shape, down, right, 9)]).toEqual(expected);
  });

  it('moves each channel and frame separately', () => {
    expect([...shift(image, [1, 2, 1, 3], 0, 1, 0)]).toEqual([0, 1, 2, 0, 4, 5]);
    expect([...shift(image, [2, 1, 3, 1], 1, 0, 0)]).toEqual([0, 1, 2, 0, 4, 5]);
  });

  it('flips about half of the images', () => {
    const generator = new Generator(0);
    let flips = 0;
    for (let i = 0; i < 400; i++) {
      if (augment(image, shape, { horizontalFlip: true }, generator)[0] === 3) flips++;
    }
    expect(flips).toBeGreaterThan(160);
    expect(flips).toBeLessThan(240);
  });

  it('crops at every place', () => {
    const generator = new Generator(0);
    const places = new Set<string>();
    for (let i = 0; i < 400; i++) {
      places.add(String(augment(image, shape, { cropPadding: 1, cropFill: 0 }, generator)));
    }
    expect(places.size).toBe(9);
  });

  it('leaves the image and the generator alone when nothing is asked for', () => {
    const generator = new Generator(0);
    expect(augment(image, shape, {}, generator)).toBe(image);
    expect(generator.state()).toEqual(new Generator(0).state());
  });
});
