import fc from 'fast-check';
import { afterAll, describe, expect, it } from 'vitest';
import { formulaWeights } from '../../test/support/formula-weights.ts';
import { randomWeights } from '../../test/support/random-weights.ts';
import { tinyClips, tinyConfig } from '../../test/support/tiny-config.ts';
import { tinyPixels } from '../../test/support/tiny-model.ts';
import { DeviceError } from '../errors.ts';
import type { Device } from '../runtime/device.ts';
import { openCpu } from '../runtime/node.ts';
import { rememberModulations } from './modulation-table.ts';
import { type BatchingOptions, openNoisePredictor, type PassInfo } from './noise-predictor.ts';
import type { SampleRequest } from './request.ts';
import { createSampler, finalLatents, type SampleEvent, type Sampler } from './sampler.ts';

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

/** At steps that begin at the noisiest timestep, each of them guides one. */
const guidances = fc.constantFrom(
  ...[0, 0.5, 1, 2].map((scale) => ({ scale })),
  { scale: 2, interval: [-11, -4] as const },
  { scale: 3, interval: [-11, 9] as const, schedule: 'linear' as const },
);

/** Requests of any kind, and after how many events of the first one each begins. */
const requests = fc.array(
  fc.record({
    delay: fc.nat(20),
    request: fc.record({
      labels: fc.array(fc.nat(3), { minLength: 1, maxLength: 3 }),
      steps: fc.integer({ min: 1, max: 5 }),
      guidance: guidances,
      timesteps: fc.constant('logsnr' as const),
      seed: fc.nat(1000),
      solver: fc.constantFrom('ddim' as const, 'ddpm' as const, 'dpm-solver-plus-plus-2m' as const),
    }),
  }),
  { minLength: 1, maxLength: 6 },
);

const turns = async (count: number): Promise<void> => {
  for (let i = 0; i < count; i++) await new Promise((resolve) => setImmediate(resolve));
};

/** A device whose products with weights of their own depend a little on how many rows there are. */
function roundingByRows(exact: Device): Device {
  return {
    ...exact,
    async compile(graph, bound) {
      const program = await exact.compile(graph, bound);
      if (!bound) return program;
      return {
        ...program,
        async run(feeds, into) {
          const outputs = await program.run(feeds, into);
          for (const { shape, data } of Object.values(outputs)) {
            for (let i = 0; i < data.length; i++) (data as Float32Array)[i] *= 1 + 1e-6 * shape[0];
          }
          return outputs;
        },
      };
    },
  };
}

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

  it('stops the work of an aborted request within a step, and continues the others', async () => {
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

  it.each([1, 2, 3])('gives a sample the same in every batch, on %i threads', async (threads) => {
    // One head alone: products of a single sample would be cut into pieces for the threads.
    const long = tinyConfig({
      layers: 1,
      hidden: 64,
      heads: 1,
      height: 64,
      width: 64,
      blockSize: 16,
      blocks: 64,
    });
    const own = openCpu({ threads });
    const sampler = await createSampler({ config: long, weights: randomWeights(long), device: own });
    const request = { steps: 1, cfg: 1, seed: 1 };
    const batch = await finalValues(sampler, { ...request, labels: [0, 1, 2] });
    const size = batch.length / 3;
    for (const n of [0, 1, 2]) {
      const one = await finalValues(sampler, { ...request, labels: [n], first: n });
      expect(one).toEqual(batch.slice(n * size, (n + 1) * size));
    }
    await own.dispose();
  });

  it('gives the same on any number of threads', async () => {
    const wide = { ...config, hidden: 192, heads: 3, blockSize: 16, height: 16, width: 16 };
    const results: Float32Array[] = [];
    for (const threads of [1, 2, 3, 4]) {
      const own = openCpu({ threads });
      const sampler = await createSampler({ config: wide, weights: randomWeights(wide), device: own });
      results.push(await finalValues(sampler, { labels: [0, 2], steps: 2, cfg: 2, seed: 1 }));
      await own.dispose();
    }
    for (const result of results) expect(result).toEqual(results[0]);
  });

  it('leaves the latents of events to their reader', async () => {
    const request = { labels: [0, 1], steps: 3, cfg: 2, seed: 5 };
    const expected = await finalValues(alone, request);
    for await (const event of alone.sample(request)) {
      if (event.kind === 'done') expect(event.latents.data).toEqual(expected);
      else event.latents.data.fill(7);
      if (event.kind === 'step') event.clean.data.fill(7);
    }
  });

  it('gives every request the same in every order of requests', async () => {
    // One condition alone, two, and more: each may reach another kernel.
    const all: SampleRequest[] = [
      { labels: [0], steps: 1, cfg: 1, seed: 1 },
      { labels: [0], steps: 1, cfg: 2, seed: 2 },
      { labels: [1, 2], steps: 2, cfg: 2, seed: 3 },
    ];
    const wide = { ...config, hidden: 192, heads: 3 };
    const options = { config: wide, weights: randomWeights(wide), device: openCpu({ threads: 3 }) };
    const plain = await createSampler(options);
    const expected: Float32Array[] = [];
    for (const request of all) expected.push(await finalValues(plain, request));
    for (const order of ['012', '021', '102', '120', '201', '210']) {
      const sampler = await createSampler({ ...options, batching: { groups: 16 } });
      for (const number of order) {
        expect(await finalValues(sampler, all[Number(number)])).toEqual(expected[Number(number)]);
      }
      await sampler.dispose();
    }
    await options.device.dispose();
  });

  it('lets requests take turns where rows would be rounded differently in a shared pass', async () => {
    const rounding = roundingByRows(device);
    const [plain, sharing] = [
      await createSampler({ config, weights, device: rounding }),
      await createSampler({ config, weights, device: rounding, batching: shared }),
    ];
    passes.length = 0;
    const all = [0, 1, 2].map((seed) => ({ labels: [seed, 0], steps: 2, cfg: 2, seed }));
    const results = await Promise.all(all.map((request) => finalValues(sharing, request)));
    for (const [i, request] of all.entries()) expect(results[i]).toEqual(await finalValues(plain, request));
    expect(passes.every(({ sequences }) => sequences === 1)).toBe(true);
  });

  it('refuses calls after it was disposed of, also those that wait', async () => {
    const sampler = await createSampler({ config, weights, device, batching: shared });
    const running = finalValues(sampler, { labels: [0], steps: 5 });
    await turns(2);
    await sampler.dispose();
    await expect(running).rejects.toThrow(/the sampler was disposed/);
    await expect(finalValues(sampler, { labels: [0] })).rejects.toThrow(DeviceError);
  });

  it('keeps the modulations that a call asked for while others come and go', async () => {
    const own = await openNoisePredictor(device, config, weights);
    const remembered = rememberModulations(config, own.modulations, 1);
    const conditions = (label: number) => [0, 1, 2].map((i) => ({ timestep: 100 * i, label }));
    await remembered([{ timestep: 0, label: 0 }]);
    const tables = await Promise.all([0, 1, 2, 0].map((label) => remembered(conditions(label))));
    for (const [i, label] of [0, 1, 2, 0].entries()) {
      const alone = await own.modulations(conditions(label));
      for (const condition of conditions(label))
        expect(tables[i].row(1, condition)).toEqual(alone.row(1, condition));
    }
    await own.dispose();
  });

  it('computes modulations once for all requests', async () => {
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
