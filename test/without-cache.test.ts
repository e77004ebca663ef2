import { afterAll, describe, expect, it } from 'vitest';
import { costWithoutCache, sampleWithoutCache } from '../scripts/trade-off/without-cache.ts';
import { sampleCost } from '../src/models/acdit/cost.ts';
import { parameters } from '../src/models/acdit/weights.ts';
import { openCpu } from '../src/runtime/node.ts';
import { finalLatents } from '../src/sampling/final-latents.ts';
import { createSampler } from '../src/sampling/sampler.ts';
import { Generator } from '../src/tensor/generator.ts';
import { elementCount, float32 } from '../src/tensor/tensor.ts';
import { tinyConfig } from './support/tiny-config.ts';

const device = openCpu({ threads: 1 });
afterAll(() => device.dispose());

describe('sampling without a cache', () => {
  it.each([1, 4, 16])('gives the same samples, in %i blocks', async (blocks) => {
    const config = tinyConfig({ blocks, blockSize: 16 / blocks });
    const generator = new Generator(1);
    const weights = new Map(
      [...parameters(config)].map(([name, shape]) => [
        name,
        float32(
          shape,
          generator.randn(elementCount(shape)).map((value) => 0.3 * value),
        ),
      ]),
    );
    const request = { labels: [0, 2], steps: 3, cfg: 2, seed: 4 };
    const sampler = await createSampler({ config, weights, device });
    const cached = await finalLatents(sampler.sample(request));
    const without = await sampleWithoutCache(device, config, weights, request);
    expect(without.shape).toEqual(cached.shape);
    const size = Math.max(...cached.data.map(Math.abs));
    for (const [i, value] of without.data.entries()) {
      expect(Math.abs(value - cached.data[i])).toBeLessThan(1e-4 * size);
    }
  });

  it('costs more the more blocks there are, and as much where there is one', () => {
    const costs = [1, 4, 16].map((blocks) => {
      const config = tinyConfig({ blocks, blockSize: 16 / blocks });
      return costWithoutCache(config, 25) / sampleCost(config, 25, true);
    });
    expect(costs[0]).toBe(1);
    expect(costs[1]).toBeGreaterThan(1.5);
    expect(costs[2]).toBeGreaterThan(2 * costs[1]);
  });
});
