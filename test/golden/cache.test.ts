/** Sampling with a cache, a block at a time, is the training sequence under the Skip-Causal Attention Mask. */

import { describe, expect, it } from 'vitest';
import { linearNoiseSchedule } from '../../src/diffusion/noise-schedule.ts';
import { type AcditConfig, tokenSize, validateConfig } from '../../src/models/acdit/config.ts';
import { openCpu } from '../../src/runtime/node.ts';
import { EMPTY_CACHE } from '../../src/sampling/cache.ts';
import type { Condition } from '../../src/sampling/modulation-table.ts';
import { openNoisePredictor } from '../../src/sampling/noise-predictor.ts';
import { blockOf, stackBlocks } from '../../src/sampling/request.ts';
import { createSampler, finalLatents } from '../../src/sampling/sampler.ts';
import { Generator } from '../../src/tensor/generator.ts';
import { float32, type Tensor } from '../../src/tensor/tensor.ts';
import { compileGradientPass } from '../../src/training/compile-gradient-pass.ts';
import { noiseBatch } from '../../src/training/noising.ts';
import { zerosLike } from '../../src/training/optimizer.ts';
import { formulaWeights } from '../support/formula-weights.ts';
import { relativeError } from '../support/golden.ts';

const base: AcditConfig = {
  modelType: 'acdit',
  layers: 3,
  hidden: 64,
  heads: 2,
  mlpRatio: 4,
  classes: 5,
  space: 'pixels',
  channels: 1,
  frames: 1,
  height: 8,
  width: 8,
  patch: 2,
  blockSize: 4,
  blocks: 4,
  squareBlocks: true,
  positionSplit: [1, 1],
};

const shapes: Record<string, Partial<AcditConfig>> = {
  'square blocks': {},
  'one block: full-sequence diffusion': { blockSize: 16, blocks: 1 },
  'one-token blocks': { blockSize: 1, blocks: 16 },
  'blocks larger than a tile': { height: 32, width: 32, blockSize: 128, blocks: 2, squareBlocks: false },
  'three heads of 20, hidden 60': { hidden: 60, heads: 3 },
  'one layer': { layers: 1 },
  'video in blocks of two frames': {
    frames: 4,
    height: 4,
    width: 4,
    blockSize: 8,
    blocks: 2,
    squareBlocks: false,
    positionSplit: [2, 3, 3],
    hidden: 64,
    heads: 2,
  },
};

describe.each(Object.entries(shapes))('%s', (_, change) => {
  const config = validateConfig({ ...base, ...change });
  const samples = 2;
  const weights = formulaWeights(config);
  const shape = [samples, config.blocks, config.blockSize, tokenSize(config)];
  const clean = float32(shape, new Generator(1).randn(shape.reduce((a, b) => a * b)));

  it('predicts the same noise with the cache as under the mask', async () => {
    const device = openCpu({ threads: 1 });
    const batch = noiseBatch(
      config,
      linearNoiseSchedule(),
      clean,
      [1, 3],
      { labelDrop: 0 },
      new Generator(2),
    );
    const pass = await compileGradientPass(device, config, samples);
    const { prediction } = await pass.run(weights, batch, zerosLike(weights));
    const predictor = await openNoisePredictor(device, config, weights);
    const predicted: Tensor<'float32'>[] = [];
    let cache = EMPTY_CACHE;
    for (let block = 0; block < config.blocks; block++) {
      const conditions = Array.from(
        { length: samples },
        (_, n): Condition => ({
          timestep: batch.timesteps[n * config.blocks + block],
          label: batch.labels[n],
        }),
      );
      const table = await predictor.modulations(conditions);
      const noise = await predictor.denoise(blockOf(batch.noised, block), conditions, table, cache);
      predicted.push(float32([samples, config.blockSize, tokenSize(config)], noise.data));
      cache = await predictor.append(blockOf(clean, block), cache);
    }
    expect(relativeError(stackBlocks(predicted), prediction)).toBeLessThan(1e-5);
    await device.dispose();
  });

  it('samples a batch as it samples each picture alone, whatever differs by block', async () => {
    const device = openCpu({ threads: 1 });
    const sampler = await createSampler({ config, weights, device });
    const perBlock = (values: readonly number[]): number[] => values.slice(0, config.blocks);
    const cycle = (values: readonly number[]): number[] =>
      Array.from({ length: config.blocks }, (_, block) => values[block % values.length]);
    const labels = [cycle([0, 1, 2]), cycle([4])];
    const settings = { steps: cycle([3, 2]), cfg: cycle([1.5, 1]) };
    const noise = float32(shape, new Generator(3).randn(shape.reduce((a, b) => a * b)));
    const run = (chosen: readonly number[]) => {
      const size = noise.data.length / samples;
      const parts = chosen.flatMap((n) => [...noise.data.subarray(n * size, (n + 1) * size)]);
      const request = {
        labels: chosen.map((n) => perBlock(labels[n])),
        noise: float32([chosen.length, ...shape.slice(1)], parts),
        ...settings,
      };
      return finalLatents(sampler.sample(request));
    };
    const together = await run([0, 1]);
    const alone = [...(await run([0])).data, ...(await run([1])).data];
    expect(relativeError(together, { data: Float32Array.from(alone) })).toBeLessThan(1e-5);
    await device.dispose();
  });
});

describe('seeds', () => {
  it.each(['dpm-solver-plus-plus-2m', 'ddim', 'ddpm'] as const)(
    'give a sample the same numbers in any batch (%s)',
    async (solver) => {
      const config = validateConfig(base);
      const device = openCpu({ threads: 1 });
      const sampler = await createSampler({ config, weights: formulaWeights(config), device });
      const run = (labels: number[], first: number) =>
        finalLatents(sampler.sample({ labels, first, seed: 7, steps: 4, solver }));
      const together = await run([0, 1, 2], 0);
      const alone = await run([2], 2);
      expect(relativeError(alone, { data: together.data.slice(-alone.data.length) })).toBeLessThan(1e-5);
      await device.dispose();
    },
  );
});

describe('guidance', () => {
  it('of 1 costs one pass and equals the conditional prediction', async () => {
    const config = validateConfig(base);
    const device = openCpu({ threads: 1 });
    const predictor = await openNoisePredictor(device, config, formulaWeights(config));
    const conditions = [{ timestep: 500, label: 1 }];
    const both = [...conditions, { timestep: 500, label: config.classes }];
    const latents = blockOf(float32([1, 4, 4, 4], new Generator(4).randn(64)), 0);
    const one = await predictor.denoise(
      latents,
      conditions,
      await predictor.modulations(conditions),
      EMPTY_CACHE,
    );
    const two = await predictor.denoise(latents, both, await predictor.modulations(both), EMPTY_CACHE);
    expect(one.shape).toEqual([1, 1, 4, 4]);
    expect(two.shape).toEqual([2, 1, 4, 4]);
    expect(relativeError(one, { data: two.data.subarray(0, one.data.length) })).toBeLessThan(1e-6);
    await device.dispose();
  });
});
