/** @file Sampling in 8 bits: how close it comes to float32, and that its paths agree to the last bit. */

import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { loadModel } from '../src/checkpoints/load.ts';
import { openCpu } from '../src/runtime/node.ts';
import { createSampler, finalLatents, type SampleRequest, type Sampler } from '../src/sampling/sampler.ts';
import type { Tensor } from '../src/tensor/tensor.ts';
import { signalToNoise } from './support/signal-to-noise.ts';

const device = openCpu();
afterAll(() => device.dispose());

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
