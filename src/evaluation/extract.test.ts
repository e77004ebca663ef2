import { afterAll, describe, expect, it } from 'vitest';
import { openCpu } from '../runtime/node.ts';
import { Generator } from '../tensor/generator.ts';
import { float32, type Tensor, tensor } from '../tensor/tensor.ts';
import { completeSet, extractFeatures } from './extract.ts';
import type { FeatureNetwork } from './feature-network.ts';
import { gaussianOf } from './gaussian.ts';
import type { SampleSource } from './sample-source.ts';

const device = openCpu({ threads: 1 });
afterAll(() => device.dispose());

const images = tensor('uint8', [700, 1, 2, 3], Uint8Array.from(Generator.seeded(1).randint(0, 256, 4200)));

function source({ shape, data }: Tensor<'uint8'> = images): SampleSource {
  const [count, ...rest] = shape;
  const size = data.length / count;
  return {
    name: 'source',
    count,
    shape: rest,
    async *batches(n) {
      for (let start = 0; start < count; start += n) {
        const length = Math.min(n, count - start);
        yield tensor('uint8', [length, ...rest], data.slice(start * size, (start + length) * size));
      }
    },
    async close() {},
  };
}

/** Features are the values; spatial features are far from 0, and logits their squares. */
const network: FeatureNetwork = {
  name: 'values',
  channels: 3,
  batchSize: 9,
  async extract({ shape: [n], data }) {
    const rows = (of: (value: number) => number) => float32([n, data.length / n], Array.from(data, of));
    return { features: rows((v) => v), logits: rows((v) => v * v), spatial: rows((v) => v + 1e5) };
  },
  async dispose() {},
};

describe('extractFeatures', () => {
  it('gives the network full batches, so that features do not depend on how many samples a set has', async () => {
    const rounding: FeatureNetwork = {
      ...network,
      // As a kernel that takes another path for few samples.
      extract: async (samples) => {
        const { features } = await network.extract(samples);
        return {
          features: float32(
            features.shape,
            features.data.map((v) => v + samples.shape[0] / 100),
          ),
        };
      },
    };
    const all = (await extractFeatures(device, rounding, source())).features!;
    for (const count of [1, 8, 10]) {
      const some = tensor('uint8', [count, 1, 2, 3], images.data.slice(0, count * 6));
      const { features } = await extractFeatures(device, rounding, source(some));
      expect(features).toEqual(float32([count, 6], all.data.slice(0, count * 6)));
    }
  });

  it('keeps features and logits in order, and the statistics of spatial features', async () => {
    const progress: number[] = [];
    const set = await extractFeatures(device, network, source(), {
      onProgress: (done) => progress.push(done),
    });
    expect(set).toMatchObject({ name: 'source', network: 'values' });
    expect(set.features).toEqual(float32([700, 6], Array.from(images.data)));
    expect(set.logits!.data[7]).toBe(images.data[7] ** 2);
    const expected = await gaussianOf(device, set.features!);
    for (const [d, value] of expected.mean.entries())
      expect(set.spatial!.mean[d]).toBeCloseTo(value + 1e5, 6);
    for (const [i, value] of expected.covariance.entries()) {
      expect(set.spatial!.covariance[i]).toBeCloseTo(value, 6);
    }
    expect(progress.at(-1)).toBe(1);
    const short = await extractFeatures(device, network, source(), { onlyFeatures: true });
    expect(short.logits).toBeUndefined();
  });

  it('converts between grey and RGB', async () => {
    const grey = tensor('uint8', [2, 1, 1, 1], Uint8Array.of(7, 9));
    const { features } = await extractFeatures(device, network, source(grey));
    expect(features).toEqual(float32([2, 3], [7, 7, 7, 9, 9, 9]));
    const rgb = tensor('uint8', [1, 1, 1, 3], Uint8Array.of(255, 0, 0));
    const inGrey = await extractFeatures(device, { ...network, channels: 1 }, source(rgb));
    expect(inGrey.features).toEqual(float32([1, 1], [76]));
    expect(inGrey.spatial).toBeUndefined(); // one sample has no covariance
  });

  it('refuses features that are not finite, and says of which sample', async () => {
    let batches = 0;
    const broken: FeatureNetwork = {
      ...network,
      async extract(samples) {
        const extracted = await network.extract(samples);
        if (++batches === 78) extracted.features.data[6] = Number.NaN;
        return extracted;
      },
    };
    await expect(extractFeatures(device, broken, source())).rejects.toThrow(
      "source: the network's features of sample 694 are not finite (NaN)",
    );
  });

  it('stops when asked to', async () => {
    const controller = new AbortController();
    const onProgress = () => controller.abort(new Error('enough'));
    await expect(
      extractFeatures(device, network, source(), { signal: controller.signal, onProgress }),
    ).rejects.toThrow('enough');
  });
});

describe('completeSet', () => {
  it('takes stored statistics for all of a set', async () => {
    const gaussian = { mean: new Float64Array(6), covariance: new Float64Array(36) };
    const stored = { name: 'source', network: 'values', gaussian };
    const set = await completeSet(device, network, { kind: 'images', images: source(), stored });
    expect(set).toMatchObject({ network: 'values', gaussian });
    expect(set.features!.shape).toEqual([700, 6]);
    expect(set.spatial).toBeUndefined();
    expect(await completeSet(device, network, { kind: 'features', set: stored })).toBe(stored);
  });
});
