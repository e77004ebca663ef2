/** @file Sampling in half precision, on a CPU that stands for a GPU: it rounds the same values and takes its time. */
// @module-tag slow

import { fileURLToPath } from 'node:url';
import { afterAll, describe, expect, it } from 'vitest';
import { loadModel } from '../src/checkpoints/load.ts';
import { DeviceError } from '../src/errors.ts';
import type { Device } from '../src/runtime/device.ts';
import { requireHalf } from '../src/runtime/half-products.ts';
import { openCpu } from '../src/runtime/node.ts';
import { createSampler, finalLatents, type SampleRequest } from '../src/sampling/sampler.ts';
import { formulaWeights } from './support/formula-weights.ts';
import { signalToNoise } from './support/signal-to-noise.ts';
import { tinyConfig } from './support/tiny-config.ts';

const cpu = openCpu();
const apart: Device = { ...cpu, separateMemory: true };
afterAll(() => cpu.dispose());

describe('sampling in half precision', () => {
  it.each([
    ['fixtures/golden/image-tiny.pt', { labels: [0, 3], steps: 4, seed: 1 }],
    ['fixtures/golden/video-tiny.pt', { labels: [0, 1], steps: 4, seed: 2, blocks: 3, window: 1 }],
    ['../models/fashion-mnist', { labels: [7], steps: 2, seed: 3 }],
  ] satisfies [string, SampleRequest][])(
    'of %s is close to float32, but not the same',
    async (path, request) => {
      const model = await loadModel(fileURLToPath(new URL(path, import.meta.url)));
      const [exact, half] = await Promise.all([
        createSampler({ ...model, device: cpu }),
        createSampler({ ...model, device: apart, precision: 'fp16' }),
      ]);
      const [wanted, got] = [
        await finalLatents(exact.sample(request)),
        await finalLatents(half.sample(request)),
      ];
      expect(got.data).not.toEqual(wanted.data);
      expect(signalToNoise(wanted, got)).toBeGreaterThan(40);
      await exact.dispose();
      await half.dispose();
    },
  );

  it('is refused on a CPU, with what it can do instead', async () => {
    const config = tinyConfig();
    const sampler = createSampler({
      config,
      weights: formulaWeights(config),
      device: cpu,
      precision: 'fp16',
    });
    await expect(sampler).rejects.toThrow(
      'precision fp16 is not available on cpu, which computes in fp32 or int8',
    );
  });

  it('is refused on a device without half floats, or with wrong ones', async () => {
    const device = (run: () => Promise<never> | Promise<object>): Device => ({
      ...apart,
      name: 'gpu',
      compile: async (...args) => ({ ...(await cpu.compile(...args)), run: run as never }),
    });
    const without = device(async () => {
      throw new DeviceError('ONNX Runtime could not run a program: it requires f16');
    });
    await expect(requireHalf(without)).rejects.toThrow(
      'precision fp16 is not available on gpu here (ONNX Runtime could not run a program: it requires f16); use fp32',
    );
    const wrong = device(async () => ({ product: { data: new Float32Array(64 * 64) } }));
    await expect(requireHalf(wrong)).rejects.toThrow(
      'gpu multiplies half floats wrongly here; use precision fp32',
    );
    await requireHalf(apart);
  });
});
