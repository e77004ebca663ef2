import { afterAll, describe, expect, it } from 'vitest';
import { formulaWeights } from '../../test/support/formula-weights.ts';
import { tinyConfig } from '../../test/support/tiny-config.ts';
import { linearNoiseSchedule } from '../diffusion/noise-schedule.ts';
import type { AcditConfig } from '../models/acdit/config.ts';
import { tokenSize } from '../models/acdit/config.ts';
import { openCpu } from '../runtime/node.ts';
import { Generator } from '../tensor/generator.ts';
import { float32 } from '../tensor/tensor.ts';
import type { SampleRequest } from './request.ts';
import { createSampler, finalLatents } from './sampler.ts';

const device = openCpu({ threads: 1 });
afterAll(() => device.dispose());

async function latentsOf(config: AcditConfig, request: Partial<SampleRequest>): Promise<Float32Array> {
  const sampler = await createSampler({ config, weights: formulaWeights(config), device });
  const { data } = await finalLatents(
    sampler.sample({ labels: [0, 2], steps: 3, cfg: 2, seed: 5, ...request }),
  );
  await sampler.dispose();
  return data;
}

describe('contextNoise of a request', () => {
  it.each(['skip-causal', 'block-causal'] as const)('replaces that of the model: %s', async (attention) => {
    const clean = tinyConfig({ attention });
    const noised = tinyConfig({ attention, contextNoise: 300 });
    const usual = await latentsOf(noised, {});
    expect(await latentsOf(clean, { contextNoise: 300 })).toEqual(usual);
    const cleanly = await latentsOf(clean, {});
    expect(await latentsOf(noised, { contextNoise: 0 })).toEqual(cleanly);
    expect(usual).not.toEqual(cleanly);
  });

  it('noises the blocks that others attend, and not those of the sample', async () => {
    const config = tinyConfig();
    const shape = [1, config.blocks - 1, config.blockSize, tokenSize(config)];
    const size = config.blockSize * tokenSize(config);
    const values = new Generator(9).randn((config.blocks - 1) * size);
    const given = float32(shape, values);
    // The formula of q(x_t | x_0), with the noise of this sample's stream for the context.
    const remaining = linearNoiseSchedule().alphasCumprod[300]!;
    const drawn = Generator.seeded(5, 0, 2);
    const noised = Array.from({ length: config.blocks - 1 }, () => drawn.randn(size)).flatMap(
      (noise, block) =>
        [...noise].map(
          (value, i) => Math.sqrt(remaining) * values[block * size + i]! + Math.sqrt(1 - remaining) * value,
        ),
    );
    const request = { labels: [1], blocks: config.blocks };
    const last = (await latentsOf(config, { ...request, given, contextNoise: 300 })).slice(-size);
    const expected = await latentsOf(config, {
      ...request,
      given: float32(shape, Float32Array.from(noised)),
    });
    expected.slice(-size).forEach((value, i) => {
      expect(Math.abs(last[i]! - value)).toBeLessThan(1e-5 * Math.max(1, Math.abs(value)));
    });
    const kept = (await latentsOf(config, { ...request, given, contextNoise: 300 })).slice(0, values.length);
    expect(kept).toEqual(Float32Array.from(values));
  });

  it('must be 0 where all blocks are denoised together', async () => {
    const config = tinyConfig({ attention: 'full' });
    await expect(latentsOf(config, { contextNoise: 5 })).rejects.toThrow(
      'sample: contextNoise must be 0 for attention full, where no block is finished before others, got 5',
    );
    await expect(latentsOf(config, { contextNoise: 0 })).resolves.toBeInstanceOf(Float32Array);
  });
});
