/** Continuing given blocks, and beyond the blocks that a model was trained with. */

import { afterAll, describe, expect, it } from 'vitest';
import { formulaWeights } from '../../test/support/formula-weights.ts';
import { relativeError } from '../../test/support/golden.ts';
import { tinyClips, tinyConfig } from '../../test/support/tiny-config.ts';
import { ArgumentError } from '../errors.ts';
import { openCpu } from '../runtime/node.ts';
import { Generator } from '../tensor/generator.ts';
import { float32, type Tensor } from '../tensor/tensor.ts';
import { type Cache, EMPTY_CACHE, EMPTY_SLIDING_CACHE, type KeyValueCache } from './cache.ts';
import { type NoisePredictor, openNoisePredictor } from './noise-predictor.ts';
import { blockOf, type SampleRequest } from './request.ts';
import { createSampler, type SampleEvent, type Sampler } from './sampler.ts';

const device = openCpu({ threads: 1 });
afterAll(() => device.dispose());

const clips = tinyClips;
const pictures = tinyConfig();

async function eventsOf(sampler: Sampler, request: SampleRequest): Promise<SampleEvent[]> {
  const events: SampleEvent[] = [];
  for await (const event of sampler.sample({ steps: 2, cfg: 2, ...request })) events.push(event);
  return events;
}

async function latentsOf(sampler: Sampler, request: SampleRequest): Promise<Tensor<'float32'>> {
  return (await eventsOf(sampler, request)).at(-1)!.latents;
}

/** The first blocks of (N, T, B, C). */
function firstBlocks({ shape, data }: Tensor<'float32'>, count: number): Tensor<'float32'> {
  const [samples, blocks, size, channels] = shape;
  const each = size * channels;
  const parts = Array.from({ length: samples }, (_, n) =>
    data.subarray(n * blocks * each, (n * blocks + count) * each),
  );
  return float32([samples, count, size, channels], Float32Array.from(parts.flatMap((part) => [...part])));
}

describe.each([
  ['pictures', pictures],
  ['clips', clips],
] as const)('continuing %s', (_, config) => {
  it('makes the blocks that would have followed', async () => {
    const sampler = await createSampler({ config, weights: formulaWeights(config), device });
    const labels = [1, [0, 1, 2, 2]];
    const whole = await latentsOf(sampler, { labels, seed: 3 });
    for (const kept of [1, 3]) {
      const events = await eventsOf(sampler, { labels, seed: 3, given: firstBlocks(whole, kept) });
      expect(events.at(-1)!.latents).toEqual(whole);
      const blocks = events.flatMap((event) => (event.kind === 'block' ? [event.given === true] : []));
      expect(blocks).toEqual(Array.from({ length: 4 }, (_, block) => block < kept));
      expect(events.filter(({ kind }) => kind === 'step')).toHaveLength(2 * (4 - kept));
    }
    await sampler.dispose();
  });
});

describe('beyond the trained blocks', () => {
  const label = { labels: [2, 0], seed: 1 };

  it('begins like any clip, continues to any length, and depends on the window alone', async () => {
    const sampler = await createSampler({ config: clips, weights: formulaWeights(clips), device });
    const usual = await latentsOf(sampler, label);
    const longer = await latentsOf(sampler, { ...label, blocks: 11 });
    expect(longer.shape).toEqual([2, 11, 8, 4]);
    expect(relativeError(firstBlocks(longer, 4), usual)).toBeLessThan(1e-5);
    expect(await latentsOf(sampler, { ...label, blocks: 11 })).toEqual(longer);

    const narrow = await latentsOf(sampler, { ...label, window: 1 });
    expect(relativeError(firstBlocks(narrow, 2), firstBlocks(usual, 2))).toBeLessThan(1e-5);
    expect(relativeError(blockOf(narrow, 2), blockOf(usual, 2))).toBeGreaterThan(1e-3);
    await sampler.dispose();
  });

  it('predicts the same with a sliding cache while nothing slides', async () => {
    const predictor = await openNoisePredictor(device, clips, formulaWeights(clips));
    const caches = await Promise.all(
      [EMPTY_CACHE, EMPTY_SLIDING_CACHE].map((empty) => fill(predictor, empty, 3)),
    );
    const [plain, sliding] = await Promise.all(caches.map((cache) => predict(predictor, cache)));
    expect(relativeError(sliding, plain)).toBeLessThan(1e-5);
    await predictor.dispose();
  });

  it('moves the blocks that stay to the places of those that go', async () => {
    // With one layer, keys and values of a block depend on that block alone, so a cache that slid must be one that
    // never held the oldest block.
    const config = { ...clips, layers: 1 };
    const predictor = await openNoisePredictor(device, config, formulaWeights(config));
    const slid = (await slide(predictor, await fill(predictor, EMPTY_SLIDING_CACHE, 3))) as KeyValueCache;
    const fresh = (await fill(predictor, EMPTY_SLIDING_CACHE, 3, 1)) as KeyValueCache;
    expect(slid.blocks).toBe(2);
    for (const kind of ['keys', 'values', 'plainKeys'] as const) {
      for (const [group, value] of slid[kind]![0].entries()) {
        expect(value.shape).toEqual(fresh[kind]![0][group].shape);
        expect(relativeError(value, fresh[kind]![0][group])).toBeLessThan(1e-5);
      }
    }
    await predictor.dispose();
  });

  it('holds no more of a long clip than the window', async () => {
    const predictor = await openNoisePredictor(device, clips, formulaWeights(clips));
    let cache: Cache = EMPTY_SLIDING_CACHE;
    for (let index = 0; index < 20; index++) {
      cache = await predictor.append(block(index), cache);
      if (cache.blocks > 3) cache = await slide(predictor, cache);
      expect(cache.blocks).toBe(Math.min(index + 1, 3));
    }
    expect((cache as KeyValueCache).keys[1].reduce((sum, { data }) => sum + data.length, 0)).toBe(3 * 8 * 64);
    await predictor.dispose();
  });

  function block(index: number): Tensor<'float32'> {
    return float32([1, 8, 4], new Generator(100 + index).randn(32));
  }

  /** Drops the oldest block; the others take the places of those before them. */
  function slide(predictor: NoisePredictor, cache: Cache): Promise<Cache> {
    const rest = Array.from({ length: cache.blocks - 1 }, (_, i) => i + 1);
    const places = rest.map((index) => index - 1);
    return predictor.arrange([{ cache, blocks: rest }], { place: rest.length, places });
  }

  async function fill(predictor: NoisePredictor, empty: Cache, end: number, start = 0): Promise<Cache> {
    let cache = empty;
    for (let index = start; index < end; index++) cache = await predictor.append(block(index), cache);
    return cache;
  }

  async function predict(predictor: NoisePredictor, cache: Cache): Promise<Tensor<'float32'>> {
    const conditions = [{ timestep: 300, label: 1 }];
    return predictor.denoise(block(50), conditions, await predictor.modulations(conditions), cache);
  }
});

describe('requests that cannot be met', () => {
  const given = (...shape: number[]) => float32(shape, new Float32Array(shape.reduce((a, b) => a * b)));
  it.each([
    ['no blocks', clips, { blocks: 0 }, 'blocks must be 1 or more, got 0'],
    ['part of a block', clips, { blocks: 1.5 }, 'blocks must be 1 or more, got 1.5'],
    ['a picture of more blocks', pictures, { blocks: 5 }, 'has 4 blocks, got 5'],
    ['a longer clip of one block', { ...clips, blocks: 1, blockSize: 32 }, { blocks: 2 }, 'in one block'],
    ['no window', clips, { window: 0 }, 'window must be 1 to 3, .*got 0'],
    ['a window beyond training', clips, { blocks: 9, window: 4 }, 'window must be 1 to 3, .*got 4'],
    [
      'nothing to make',
      clips,
      { given: given(1, 4, 8, 4) },
      'shape \\[1, 1 to 3, 8, 4\\], got \\[1, 4, 8, 4\\]',
    ],
    [
      'blocks of another size',
      clips,
      { given: given(1, 2, 4, 4) },
      'shape \\[1, 1 to 3, 8, 4\\], got \\[1, 2, 4, 4\\]',
    ],
    ['blocks of another number of samples', clips, { given: given(2, 1, 8, 4) }, 'got \\[2, 1, 8, 4\\]'],
    ['labels of another length', clips, { labels: [[0, 1, 2, 0]], blocks: 6 }, 'each of 6 blocks, got 4'],
  ] as const)('%s', async (_, config, request, message) => {
    const sampler = await createSampler({ config, weights: formulaWeights(config), device });
    expect(() => sampler.sample({ labels: [0], ...request })).toThrow(ArgumentError);
    expect(() => sampler.sample({ labels: [0], ...request })).toThrow(new RegExp(message));
    await sampler.dispose();
  });
});
