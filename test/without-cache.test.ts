import { afterAll, describe, expect, it } from 'vitest';
import { costWithoutCache, sampleWithoutCache } from '../scripts/trade-off/without-cache.ts';
import { sampleCost } from '../src/models/acdit/cost.ts';
import { openCpu } from '../src/runtime/node.ts';
import type { PassInfo } from '../src/sampling/noise-predictor.ts';
import type { SampleRequest } from '../src/sampling/request.ts';
import { createSampler, finalLatents } from '../src/sampling/sampler.ts';
import type { Tensor } from '../src/tensor/tensor.ts';
import { randomWeights } from './support/random-weights.ts';
import { tinyConfig } from './support/tiny-config.ts';

const device = openCpu({ threads: 1 });
afterAll(() => device.dispose());

describe('sampling without a cache', () => {
  /** A model whose conditioning matters, unlike that of formula weights. */
  function randomModel(blocks: number) {
    const config = tinyConfig({ blocks, blockSize: 16 / blocks });
    return { config, weights: randomWeights(config) };
  }

  it.each([
    [1, 2],
    [4, 2],
    [16, 2],
    [4, 0],
    [4, 0.5],
    [4, 1],
  ])('gives the same samples, in %i blocks with guidance %d', async (blocks, cfg) => {
    const { config, weights } = randomModel(blocks);
    const request = { labels: [0, 2], steps: 3, cfg, seed: 4 };
    const sampler = await createSampler({ config, weights, device });
    const cached = await finalLatents(sampler.sample(request));
    const without = await sampleWithoutCache(device, config, weights, request);
    expect(without.shape).toEqual(cached.shape);
    const size = Math.max(...cached.data.map(Math.abs));
    for (const [i, value] of without.data.entries()) {
      expect(Math.abs(value - cached.data[i])).toBeLessThan(1e-4 * size);
    }
  });

  it('takes one pass per step where guidance is 0 or 1', async () => {
    const { config, weights } = randomModel(4);
    const groups: number[] = [];
    const batching = { groups: 8, onPass: (pass: PassInfo) => groups.push(pass.groups) };
    const sampler = await createSampler({ config, weights, device, batching });
    const final = (request: Partial<SampleRequest>): Promise<Tensor<'float32'>> =>
      finalLatents(sampler.sample({ labels: [1], steps: 2, seed: 4, ...request }));
    const unconditional = await final({ cfg: 0 });
    const conditional = await final({ cfg: 1 });
    expect(Math.max(...groups)).toBe(1);
    expect(await final({ cfg: 1, labels: [config.classes] })).toEqual(unconditional);
    expect(conditional).not.toEqual(unconditional);
    await final({ cfg: 0.5 });
    expect(Math.max(...groups)).toBe(2);
  });

  it('costs more the more blocks there are, and as much where there is one', () => {
    const costs = [1, 4, 16].map((blocks) => {
      const config = tinyConfig({ blocks, blockSize: 16 / blocks });
      return costWithoutCache(config, 25) / sampleCost(config, 50);
    });
    expect(costs[0]).toBe(1);
    expect(costs[1]).toBeGreaterThan(1.5);
    expect(costs[2]).toBeGreaterThan(2 * costs[1]);
  });
});
