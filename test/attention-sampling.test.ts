// @module-tag slow

/** Attention predicates in sampling: with the cache, a block at a time, samples are those of whole sequences in training. */

import { afterAll, describe, expect, it } from 'vitest';
import { at } from '../src/at.ts';
import { guide } from '../src/diffusion/guidance.ts';
import { addNoise, linearNoiseSchedule } from '../src/diffusion/noise-schedule.ts';
import { type AttentionSetting, attentionOf } from '../src/models/acdit/attention.ts';
import { type AcditConfig, tokenSize, validateConfig } from '../src/models/acdit/config.ts';
import type { Weights } from '../src/models/acdit/weights.ts';
import { openCpu } from '../src/runtime/node.ts';
import { createBlockSteps } from '../src/sampling/block-steps.ts';
import { Context } from '../src/sampling/context.ts';
import { openNoisePredictor } from '../src/sampling/noise-predictor.ts';
import {
  blockOf,
  planSampling,
  type SampleRequest,
  stackBlocks,
  startingNoise,
} from '../src/sampling/request.ts';
import { createSampler, finalLatents } from '../src/sampling/sampler.ts';
import { placeBlock } from '../src/sampling/sketch.ts';
import { float32, type Tensor, zeros } from '../src/tensor/tensor.ts';
import { compileGradientPass } from '../src/training/compile-gradient-pass.ts';
import { zerosLike } from '../src/training/optimizer.ts';
import { deviceApart } from './support/device-apart.ts';
import { randomWeights } from './support/random-weights.ts';
import { tinyClips, tinyConfig } from './support/tiny-config.ts';

const device = openCpu({ threads: 1 });
afterAll(() => device.dispose());

/** Samples with DDIM by the training pass alone: every prediction is made from the whole sequence. */
async function sampleWhole(
  config: AcditConfig,
  weights: Weights,
  request: SampleRequest,
): Promise<Tensor<'float32'>> {
  const plan = planSampling(config, request);
  const samples = plan.labels.length;
  const schedule = linearNoiseSchedule();
  const pass = await compileGradientPass(device, config, samples);
  const gradients = zerosLike(weights);
  const starting = startingNoise(config, plan);
  const tokens = float32(starting.shape, starting.data.slice());
  const clean = zeros('float32', tokens.shape);
  const { together, copies } = attentionOf(config);
  const stepsOf = createBlockSteps(schedule, plan);
  const kept = plan.given?.shape[1] ?? 0;
  for (let block = 0; block < kept; block++) {
    for (const part of [tokens, clean]) placeBlock(part, block, blockOf(plan.given!, block));
  }
  const predictAt = async (block: number, timestep: number): Promise<Float32Array> => {
    // A later block's timestep and noise must not matter.
    const timesteps = Array.from({ length: samples * config.blocks }, (_, i) => {
      const number = i % config.blocks;
      if (together || number === block) return timestep;
      return number < block && !copies ? 0 : 500;
    });
    const runOf = async (labels: readonly number[]): Promise<Float32Array> => {
      const batch = { clean, noised: tokens, target: tokens, timesteps, labels };
      const { prediction } = await pass.run(weights, batch, gradients);
      return (together ? prediction : blockOf(prediction, block)).data.slice();
    };
    const labels = plan.labels.map((ofBlocks) => at(ofBlocks, block));
    const scale = at(plan.guidance.scale, block);
    if (scale === 1) return runOf(labels);
    return guide(await runOf(labels), await runOf(labels.map(() => config.classes)), scale);
  };
  const blocks = together ? [0] : Array.from({ length: config.blocks - kept }, (_, i) => kept + i);
  for (const block of blocks) {
    const { solver } = stepsOf(block);
    let latents = together ? tokens : blockOf(tokens, block);
    let state = solver.initialState();
    for (const [index, timestep] of solver.timesteps.entries()) {
      if (together) {
        for (let own = 0; own < kept; own++) {
          const values = addNoise(
            schedule,
            blockOf(plan.given!, own).data,
            blockOf(starting, own).data,
            timestep,
          );
          placeBlock(tokens, own, float32([samples, ...tokens.shape.slice(2)], values));
        }
        latents = tokens;
      }
      const next = solver.step(index, latents.data, await predictAt(block, timestep), state, {
        randn: () => new Float32Array(),
      });
      latents = float32(latents.shape, next.x);
      state = next.state;
      if (together) tokens.data.set(next.x);
      else placeBlock(tokens, block, latents);
    }
    if (!together) placeBlock(clean, block, latents);
  }
  for (let own = 0; own < kept; own++) placeBlock(tokens, own, blockOf(plan.given!, own));
  await pass.dispose();
  return tokens;
}

function difference(a: Tensor<'float32'>, b: Tensor<'float32'>): number {
  expect(a.shape).toEqual(b.shape);
  const size = Math.max(...b.data.map(Math.abs));
  return Math.max(...a.data.map((value, i) => Math.abs(value - b.data[i]))) / size;
}

const SETTINGS: [string, AttentionSetting | undefined][] = [
  ['skip-causal', undefined],
  ['a window of 1', { window: 1 }],
  ['a window of 1 and a sink', { window: 1, sinks: 1 }],
  ['block-causal', 'block-causal'],
  ['full', 'full'],
  [
    'a table with copies',
    { noised: ['1000', '1100', '0110', '1011'], clean: ['1000', '0100', '0110', '1001'] },
  ],
  ['a table without copies', { noised: ['1000', '0100', '1010', '0101'] }],
  ['a table in which all blocks attend the first', { noised: ['1000', '1100', '1010', '1001'] }],
  ['blocks that attend only themselves', { noised: ['1000', '0100', '0010', '0001'] }],
];

describe.each([
  ['image', tinyConfig()],
  ['video', tinyClips],
] as const)('an %s model', (_, base) => {
  describe.each(SETTINGS)('with attention %s', (_, attention) => {
    const config: AcditConfig = validateConfig(attention ? { ...base, attention } : base);
    const weights = randomWeights(config);

    it.each([1, 2])('samples as the whole sequence does, with guidance %d', async (cfg) => {
      const request: SampleRequest = { labels: [0, 2], steps: 3, solver: 'ddim', cfg, seed: 4 };
      const whole = await sampleWhole(config, weights, request);
      const sampler = await createSampler({ config, weights, device });
      expect(difference(await finalLatents(sampler.sample(request)), whole)).toBeLessThan(1e-4);
      const [alone] = [await finalLatents(sampler.sample({ ...request, labels: [2], first: 1 }))];
      expect(alone.data).toEqual((await finalLatents(sampler.sample(request))).data.slice(alone.data.length));
      await sampler.dispose();
    });

    it('samples alike on devices with separate memory, and gives it back', async () => {
      const request: SampleRequest = { labels: [0, 2], steps: 2, cfg: 2, seed: 4 };
      const onCpu = await createSampler({ config, weights, device });
      const expected = await finalLatents(onCpu.sample(request));
      await onCpu.dispose();
      for (const kind of [{}, { keepsTensors: false, takesEmpty: false }]) {
        const { device: apart, alive } = deviceApart(device, kind);
        const sampler = await createSampler({ config, weights, device: apart, check: false });
        expect(difference(await finalLatents(sampler.sample(request)), expected)).toBeLessThan(1e-4);
        expect(alive.tensors).toBe(0);
        await sampler.dispose();
      }
    });

    it('gives concurrent requests the bits that they get alone', async () => {
      const requests: SampleRequest[] = [
        { labels: [0, 2], steps: 2, cfg: 2, seed: 4 },
        { labels: [1], steps: 3, cfg: 1, seed: 5 },
        { labels: [1, 1], steps: 2, cfg: 0, seed: 6, first: 3 },
      ];
      const sampler = await createSampler({ config, weights, device });
      const run = (request: SampleRequest) => finalLatents(sampler.sample(request));
      const alone: Tensor<'float32'>[] = [];
      for (const request of requests) alone.push(await run(request));
      expect(await Promise.all(requests.map(run))).toEqual(alone);
      await sampler.dispose();
    });

    it('continues given blocks as the whole sequence does', async () => {
      const shape = [2, 2, config.blockSize, tokenSize(config)];
      const given = float32(
        shape,
        new Float32Array(shape.reduce((a, b) => a * b)).map((_, i) => Math.sin(i)),
      );
      const request: SampleRequest = { labels: [0, 2], steps: 3, solver: 'ddim', cfg: 2, seed: 4, given };
      const whole = await sampleWhole(config, weights, request);
      const sampler = await createSampler({ config, weights, device });
      const latents = await finalLatents(sampler.sample(request));
      expect(difference(latents, whole)).toBeLessThan(1e-4);
      for (const block of [0, 1]) expect(blockOf(latents, block)).toEqual(blockOf(given, block));
      await sampler.dispose();
    });
  });
});

describe('a request that is aborted while a finished block joins the caches', () => {
  const [noised, clean] = [
    ['1000', '0100', '1010', '0101'],
    ['1000', '0100', '1010', '0001'],
  ];

  it.each<[AttentionSetting, pass: number]>([
    [{ noised }, 1],
    [{ noised }, 3],
    [{ noised, clean }, 1],
    [{ noised: ['1000', '1100', '1110', '1111'], clean: ['1000', '0100', '1010', '0001'] }, 2],
    ['block-causal', 1],
    [{ window: 1 }, 2],
  ])('gives all memory back with attention %j, aborted in such pass %d', async (attention, pass) => {
    const config = validateConfig({ ...tinyClips, attention });
    const { device: apart, alive } = deviceApart(device);
    const control = new AbortController();
    let passes = 0;
    // Guidance branches take turns, so one has joined its cache while the other waits.
    const batching = {
      groups: 1,
      onPass({ denoised }: { readonly denoised: number }): void {
        if (denoised === 0 && ++passes === pass) control.abort();
      },
    };
    const options = { config, weights: randomWeights(config), device: apart, check: false, batching };
    const sampler = await createSampler(options);
    const request: SampleRequest = { labels: [0], steps: 2, cfg: 2, signal: control.signal };
    await expect(finalLatents(sampler.sample(request))).rejects.toThrow('abort');
    await new Promise((resolve) => setTimeout(resolve, 200)); // until work that is left over has ended
    expect(alive.tensors).toBe(0);
    await sampler.dispose();
  });

  it('gives all memory back if it is aborted before the pass', async () => {
    // The copy of block 2 attends fewer blocks than are held.
    const attention = { noised: ['1000', '0100', '1010', '0111'], clean };
    const config = validateConfig({ ...tinyClips, attention });
    const { device: apart, alive } = deviceApart(device);
    const options = { config, weights: randomWeights(config), device: apart, check: false };
    const sampler = await createSampler(options);
    for (const block of [0, 1, 2]) {
      const control = new AbortController();
      const events = sampler.sample({ labels: [0], steps: 2, cfg: 2, signal: control.signal });
      const aborted = async (): Promise<void> => {
        for await (const event of events)
          if (event.kind === 'block' && event.block === block) control.abort();
      };
      await expect(aborted()).rejects.toThrow('abort');
      expect(alive.tensors).toBe(0);
    }
    await sampler.dispose();
  });
});

describe('a video that is longer than in training', () => {
  const attention = { window: 1, sinks: 1 };

  it('attends the sinks and the window at the places that they had in training', async () => {
    // With one layer, what is cached of a block depends on that block alone, so a later block is the last of a usual video.
    const config = validateConfig({ ...tinyClips, layers: 1, attention });
    const weights = randomWeights(config);
    const sampler = await createSampler({ config, weights, device });
    const request: SampleRequest = { labels: [1], steps: 2, cfg: 2, seed: 3, blocks: 9 };
    const noise = startingNoise(config, planSampling(config, request));
    const long = await finalLatents(sampler.sample(request));
    for (const block of [4, 5, 8]) {
      const context = [0, 3, block - 1].map((number) => blockOf(long, number));
      const last = stackBlocks([...context, blockOf(noise, block)]);
      const { blocks: _, ...usual } = request;
      const made = await finalLatents(sampler.sample({ ...usual, noise: last, given: stackBlocks(context) }));
      expect(difference(blockOf(made, 3), blockOf(long, block))).toBeLessThan(1e-4);
    }
    await sampler.dispose();
  });

  it.each([
    [{ window: 1, sinks: 1 }, [0, 1, 2, 2, 2, 2, 2, 2]],
    [{ window: 2 }, [0, 1, 2, 2, 2, 2, 2, 2]],
    [{ window: 3 }, [0, 1, 2, 3, 3, 3, 3, 3]],
    [{ window: 9, sinks: 9 }, [0, 1, 2, 3, 3, 3, 3, 3]],
    ['skip-causal', [0, 1, 2, 3, 3, 3, 3, 3]],
  ] as const)('holds with attention %j only what is attended', async (attention, counts) => {
    const config = validateConfig({ ...tinyClips, attention });
    const { device: apart, alive } = deviceApart(device);
    const predictor = await openNoisePredictor(apart, config, randomWeights(config));
    const context = new Context(predictor, planSampling(config, { labels: [0], blocks: 8 }));
    const latents = float32([1, 8, 4], new Float32Array(32).fill(0.5));
    const held: number[] = [];
    for (let block = 0; block < 8; block++) {
      held.push((await context.cache()).blocks);
      // Keys, values and keys before rotation of both layers.
      expect(alive.tensors).toBe(held[block] === 0 ? 0 : 6);
      if (block < 7) await context.append(latents);
    }
    expect(held).toEqual(counts);
    context.dispose();
    expect(alive.tensors).toBe(0);
    await predictor.dispose();
  });
});

describe('requests that the attention rules out', () => {
  it.each([
    ['full', { labels: [[0, 1, 0, 0]] }, 'labels must be the same for all blocks'],
    ['full', { steps: [2, 2, 2, 3] }, 'steps must be the same for all blocks'],
    ['full', { guidance: { scale: 2, schedule: 'linear' } }, 'guidance must be the same for all blocks'],
    ['full', { blocks: 5 }, 'blocks must be 4, since the attention of this model is full, got 5'],
    [{ noised: ['1000', '0100', '1010', '0101'] }, { blocks: 5 }, 'is table of 4 blocks, got 5'],
    [{ noised: ['1000', '0100', '1010', '0101'] }, { window: 1 }, 'window must be left out'],
  ] as const)('%j: %j', (attention, request, message) => {
    const config = validateConfig({ ...tinyClips, attention });
    expect(() => planSampling(config, { labels: [0], ...request } as SampleRequest)).toThrow(message);
  });
});
