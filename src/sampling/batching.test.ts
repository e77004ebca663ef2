import fc from 'fast-check';
import { afterAll, describe, expect, it } from 'vitest';
import { formulaWeights } from '../../test/support/formula-weights.ts';
import { tinyClips } from '../../test/support/tiny-config.ts';
import { tinyPixels } from '../../test/support/tiny-model.ts';
import { openCpu } from '../runtime/node.ts';
import type { BatchingOptions, PassInfo } from './batching.ts';
import { finalLatents } from './final-latents.ts';
import type { SampleRequest } from './request.ts';
import { createSampler, type SampleEvent, type Sampler } from './sampler.ts';

const config = { ...tinyPixels, layers: 2 };
const device = openCpu({ threads: 1 });
const weights = formulaWeights(config);
const passes: PassInfo[] = [];
const alone = await createSampler({ config, weights, device });
const shared: BatchingOptions = { groups: 16, onPass: (pass) => passes.push(pass) };
const together = await createSampler({ config, weights, device, batching: shared });
afterAll(() => device.dispose());

async function finalValues(sampler: Sampler, request: SampleRequest): Promise<Float32Array> {
  return (await finalLatents(sampler.sample(request))).data;
}

/** Requests of any kind, and after how many events of the first one each begins. */
const requests = fc.array(
  fc.record({
    delay: fc.nat(20),
    request: fc.record({
      labels: fc.array(fc.nat(3), { minLength: 1, maxLength: 3 }),
      steps: fc.integer({ min: 1, max: 5 }),
      cfg: fc.constantFrom(0, 0.5, 1, 2),
      seed: fc.nat(1000),
      solver: fc.constantFrom('ddim' as const, 'ddpm' as const, 'dpm-solver-plus-plus-2m' as const),
    }),
  }),
  { minLength: 1, maxLength: 6 },
);

const turns = async (count: number): Promise<void> => {
  for (let i = 0; i < count; i++) await new Promise((resolve) => setImmediate(resolve));
};

describe('batching', () => {
  it('gives each request the bits it gets alone, whenever the others begin', async () => {
    await fc.assert(
      fc.asyncProperty(requests, async (all) => {
        const results = await Promise.all(
          all.map(async ({ delay, request }) => {
            await turns(delay);
            return finalValues(together, request);
          }),
        );
        for (const [i, { request }] of all.entries()) {
          expect(results[i]).toEqual(await finalValues(alone, request));
        }
      }),
      { numRuns: 10 },
    );
  });

  it('takes requests at different blocks and steps into one pass, up to its size', async () => {
    passes.length = 0;
    await Promise.all(
      [0, 1, 2, 3, 4].map(async (seed) => {
        await turns(3 * seed);
        await finalValues(together, { labels: [1, 2], steps: 3 + seed, cfg: 2, seed });
      }),
    );
    expect(Math.max(...passes.map(({ groups }) => groups))).toBeLessThanOrEqual(16);
    expect(passes.filter(({ sequences }) => sequences > 1).length).toBeGreaterThan(passes.length / 2);
    expect(passes.reduce((sum, { sequences }) => sum + sequences, 0)).toBe(4 * (3 + 4 + 5 + 6 + 7) + 5 * 3);
  });

  it('takes clips of any length and window into one pass', async () => {
    const clips = { config: tinyClips, weights: formulaWeights(tinyClips), device };
    const [plain, batching] = [
      await createSampler(clips),
      await createSampler({ ...clips, batching: shared }),
    ];
    passes.length = 0;
    const lengths = [{ blocks: 9 }, { blocks: 9, window: 1 }, {}, { blocks: 2 }];
    const all = lengths.map((length, seed) => ({ labels: [seed], steps: 4, cfg: 2, seed, ...length }));
    const results = await Promise.all(all.map((request) => finalValues(batching, request)));
    for (const [i, request] of all.entries()) {
      expect(results[i]).toEqual(await finalValues(plain, request));
    }
    // Each step of each block, and each block but the last joining the cache, in as few passes as the longest needs.
    expect(passes.reduce((sum, { sequences }) => sum + sequences, 0)).toBe(2 * (36 + 8) + (16 + 3) + (8 + 1));
    expect(passes.length).toBeLessThan(1.2 * (36 + 8));
    await Promise.all([plain.dispose(), batching.dispose()]);
  });

  it('stops the work of one that is aborted within a step, and goes on with the others', async () => {
    const controller = new AbortController();
    const reason = new Error('nobody waits');
    const steps: SampleEvent[] = [];
    const aborted = (async () => {
      for await (const event of together.sample({ labels: [0], steps: 50, signal: controller.signal })) {
        steps.push(event);
        if (steps.length === 3) controller.abort(reason);
      }
    })();
    const other = { labels: [1], steps: 4, seed: 3 };
    const result = finalValues(together, other);
    await expect(aborted).rejects.toBe(reason);
    expect(steps).toHaveLength(3);
    expect(await result).toEqual(await finalValues(alone, other));
  });

  it('computes modulations once, whoever asks', async () => {
    const counting = { rows: 0 };
    const source = async (name: string) => {
      if (name === 'final_layer.adaLN_modulation.1.weight') counting.rows++;
      return weights.get(name)!;
    };
    const sampler = await createSampler({ config, weights: source, device, batching: { groups: 4 } });
    await finalValues(sampler, { labels: [0, 1], steps: 3 });
    const first = counting.rows;
    await finalValues(sampler, { labels: [1, 0], steps: 3, seed: 9 });
    expect(counting.rows).toBe(first);
    await finalValues(sampler, { labels: [2], steps: 3 });
    expect(counting.rows).toBe(first + 1);
    await sampler.dispose();
  });
});
