/** @file Sampling in 8 bits: how close it comes to float32, and that its paths agree to the last bit. */
// @module-tag slow

import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { loadModel } from '../src/checkpoints/load.ts';
import { tokenSize } from '../src/models/acdit/config.ts';
import { weightBits } from '../src/runtime/byte-products.ts';
import { openCpu } from '../src/runtime/node.ts';
import {
  createSampler,
  finalLatents,
  type SampleRequest,
  type Sampler,
  type SamplerOptions,
} from '../src/sampling/sampler.ts';
import { float32, type Tensor } from '../src/tensor/tensor.ts';
import { withSevenBits } from './support/altered-device.ts';
import { formulaWeights } from './support/formula-weights.ts';
import { relativeError } from './support/golden.ts';
import { signalToNoise } from './support/signal-to-noise.ts';
import { tinyClips, tinyConfig } from './support/tiny-config.ts';

const device = openCpu();
afterAll(() => device.dispose());
/** Bits of a weight that this processor multiplies. */
const bits = await weightBits(device);
/** This processor, and one that takes 7 bits. */
const PROCESSORS = [
  [bits, device],
  [7, withSevenBits(device)],
] as const;

describe.each([
  ['fixtures/golden/image-tiny.pt', { labels: [0, 1, 2, 3], steps: 10, seed: 1 }],
  ['fixtures/golden/video-tiny.pt', { labels: [0, 1], steps: 10, seed: 2 }],
  ['../models/fashion-mnist', { labels: [0, 3, 5, 7, 8], steps: 25, seed: 3 }],
  ['../models/moving-fashion-mnist', { labels: [1, 4, 7], steps: 10, seed: 4 }],
] satisfies [string, SampleRequest][])('%s in 8 bits', (path, request) => {
  let exact: Sampler;
  let rounded: Sampler;
  let alone: Tensor<'float32'>;
  const sample = (sampler: Sampler, changes: Partial<SampleRequest> = {}) =>
    finalLatents(sampler.sample({ ...request, ...changes }));

  beforeAll(async () => {
    const model = await loadModel(fileURLToPath(new URL(path, import.meta.url)));
    exact = await createSampler({ ...model, device });
    rounded = await createSampler({ ...model, device, precision: 'int8' });
    alone = await sample(rounded);
  });

  it('is close to float32, but not the same', async () => {
    const expected = await sample(exact);
    expect(alone.data).not.toEqual(expected.data);
    expect(signalToNoise(expected, alone)).toBeGreaterThan(30);
  });

  it('gives the same bits when calls share passes', async () => {
    const [first, second] = await Promise.all([sample(rounded), sample(rounded, { seed: 9 })]);
    expect(first.data).toEqual(alone.data);
    expect(second.data).not.toEqual(alone.data);
  });

  it('gives the same bits with one thread', async () => {
    const one = openCpu({ threads: 1 });
    const model = await loadModel(fileURLToPath(new URL(path, import.meta.url)));
    const sampler = await createSampler({ ...model, device: one, precision: 'int8' });
    expect((await sample(sampler)).data).toEqual(alone.data);
    await one.dispose();
  });
});

/** Weights in 7 bits have half the steps, so twice the error. */
describe.each([
  ['fixtures/golden/image-tiny.pt', { labels: [0, 1, 2], steps: 5, seed: 1 }],
  ['../models/moving-fashion-mnist', { labels: [4], steps: 5, seed: 4 }],
] satisfies [string, SampleRequest][])('%s without instructions for 8 bits', (path, request) => {
  it('is sampled with weights of 7 bits, which are close to float32 too', async () => {
    const seven = withSevenBits(device);
    expect(await weightBits(seven)).toBe(7);
    const model = await loadModel(fileURLToPath(new URL(path, import.meta.url)));
    const [expected, own, actual] = [
      await latentsOf(model, { device }, request),
      await latentsOf(model, { device, precision: 'int8' }, request),
      await latentsOf(model, { device: seven, precision: 'int8' }, request),
    ];
    // Processors that need 7 bits anyway give the same.
    if (bits === 8) expect(actual.data).not.toEqual(own.data);
    else expect(actual.data).toEqual(own.data);
    expect(signalToNoise(expected, actual)).toBeGreaterThan(30);
  });
});

async function latentsOf(
  model: Pick<SamplerOptions, 'config' | 'weights'>,
  options: Omit<SamplerOptions, 'config' | 'weights'>,
  request: SampleRequest,
): Promise<Tensor<'float32'>> {
  const sampler = await createSampler({ ...model, ...options });
  const latents = await finalLatents(sampler.sample(request));
  await sampler.dispose();
  return latents;
}

describe.each(PROCESSORS)('models of unusual shapes with %d bits', (_, device) => {
  it.each([
    ['one-token blocks', tinyConfig({ height: 4, width: 4, blockSize: 1, blocks: 4 }), 3],
    ['one block', tinyConfig({ blockSize: 16, blocks: 1 }), 5],
    ['widths of 60 and 180', tinyConfig({ hidden: 60, heads: 3, mlpRatio: 3 }), 1],
    ['a width below 16', tinyConfig({ hidden: 12, heads: 1 }), 7],
    [
      'a width of 200 and one token',
      tinyConfig({ hidden: 200, heads: 5, height: 4, width: 4, blockSize: 1, blocks: 4 }),
      1,
    ],
    ['videos in odd batches', tinyClips, 3],
    ['videos of one-frame blocks', { ...tinyClips, blockSize: 4, blocks: 8 }, 5],
    ['latents in odd batches', tinyConfig({ space: 'latents', channels: 4 }), 9],
  ])('are within 2%% of float32: %s', async (_, config, batch) => {
    const model = { config, weights: formulaWeights(config) };
    const request = { labels: Array.from({ length: batch }, (_, i) => i % 3), steps: 3, seed: 6, cfg: 2 };
    const expected = await latentsOf(model, { device }, request);
    const sampler = await createSampler({ ...model, device, precision: 'int8' });
    expect(sampler.precision).toBe('int8');
    const actual = await finalLatents(sampler.sample(request));
    expect(actual.data).not.toEqual(expected.data);
    expect(relativeError(actual, expected)).toBeLessThan(0.02);
    // A sample does not depend on the others of its batch.
    const [first] = request.labels;
    const alone = await finalLatents(sampler.sample({ ...request, labels: [first as number] }));
    expect(alone.data).toEqual(actual.data.subarray(0, alone.data.length));
    await sampler.dispose();
  });
});

describe('models with outliers', () => {
  it.each([
    ['blocks.0.mlp.fc1.weight', 2],
    ['blocks.1.attn.qkv.weight', 1], // only the product of queries has it
  ])('report that products with %s are not in 8 bits', async (name, squares) => {
    const config = tinyConfig();
    const weights = new Map(formulaWeights(config));
    const { shape, data } = weights.get(name)!;
    weights.set(name, float32(shape, data.with(5, 1e4)));
    const sampler = await createSampler({ config, weights, device, precision: 'int8' });
    // A token passes 8 C^2 weights in each layer, and those at both ends of the model.
    const { hidden, layers } = config;
    const ofLayers = layers * 8 * hidden ** 2;
    const ends = 2 * hidden * tokenSize(config);
    expect(sampler.int8Share).toBeCloseTo((ofLayers - squares * hidden ** 2) / (ofLayers + ends), 10);
    await sampler.dispose();
    const exact = await createSampler({ config, weights, device });
    expect(exact.int8Share).toBeUndefined();
    await exact.dispose();
  });
});

describe.each(PROCESSORS)('models with outliers and %d bits', (bits, device) => {
  // Half the steps, twice the error.
  const tolerance = bits === 8 ? 0.02 : 0.04;

  it.each([
    ['a weight of a product', 'blocks.0.mlp.fc1.weight'],
    ['a weight of attention', 'blocks.1.attn.qkv.weight'],
    ['a bias, which makes a hidden value large', 'blocks.0.attn.proj.bias'],
    ['a bias before the activation', 'blocks.1.mlp.fc1.bias'],
    ['the weight of a norm', 'blocks.1.norm2.weight'],
    ['an embedding', 'x_embedder.weight'],
  ])('stay close to float32 if %s is 10,000', async (_, name) => {
    for (const config of [tinyConfig(), tinyClips]) {
      const weights = new Map(formulaWeights(config));
      const { shape, data } = weights.get(name)!;
      weights.set(
        name,
        float32(
          shape,
          Float32Array.from(data, (value, i) => (i === 5 ? 1e4 : value)),
        ),
      );
      const request = { labels: [1, 2, 0], steps: 3, seed: 7 };
      const expected = await latentsOf({ config, weights }, { device }, request);
      const actual = await latentsOf({ config, weights }, { device, precision: 'int8' }, request);
      expect(relativeError(actual, expected)).toBeLessThan(tolerance);
    }
  });
});
