/** @file Trains and measures one model of the trade-off study. */

import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';
import { float32At } from '../../src/at.ts';
import { AcditError } from '../../src/errors.ts';
import type { AcditConfig } from '../../src/models/acdit/config.ts';
import { sampleCost, trainingCost } from '../../src/models/acdit/cost.ts';
import type { Weights } from '../../src/models/acdit/weights.ts';
import type { Device } from '../../src/runtime/device.ts';
import { createSampler, finalLatents } from '../../src/sampling/sampler.ts';
import { parseRecipe, type Recipe, recipeModel } from '../../src/training/recipe.ts';
import { costWithoutCache, sampleWithoutCache } from './without-cache.ts';

/** Numbers of blocks of an image of 8 x 8 tokens: from diffusion of the whole to one token after the other. */
export const LENGTHS = [1, 4, 16, 64] as const;
const BATCH = 16;
const SIDE = 32;
const CLASSES = 10;
/** Settings of the samples. */
export const STEPS = 25;
export const GUIDANCE = 1.5;

/** Results for one model. Costs are FLOPs, twice the multiply-adds. */
export interface StudyResult {
  readonly blocks: number;
  readonly steps: number;
  readonly images: number;
  readonly trainingFlops: number;
  /** The numbers of `acdit evaluate`. */
  readonly metrics: Readonly<Record<string, number>>;
  readonly withCache: Sampling;
  readonly withoutCache: Sampling;
  /** Largest difference of a pixel in [-1, 1] between the two ways to sample. */
  readonly difference: number;
}

/** Cost of an image. */
export interface Sampling {
  readonly flops: number;
  /** Processor time on one thread. */
  readonly seconds: number;
}

/** The recipe that trains a model with `blocks` blocks for the given FLOPs. */
export function recipeFor(blocks: number, flops: number, data: string, folder: string): Recipe {
  const recipe = (steps: number) =>
    parseRecipe({
      model: { layers: 4, hidden: 128, heads: 2, patch: 4, blocks },
      data: { path: data, imageSize: SIDE, channels: 1 },
      training: {
        steps,
        batch: BATCH,
        lossWeighting: 'debiased',
        learningRate: 1e-3,
        warmupSteps: Math.min(100, steps),
        decayFraction: 0.2,
        weightDecay: 0.01,
        ema: 0.995,
        seed: 1,
      },
      output: { folder, checkpointEvery: 250, cfg: GUIDANCE },
    });
  const classNames = Array.from({ length: CLASSES }, (_, label) => String(label));
  const config = recipeModel(recipe(1), { classNames, sampleShape: [1, 1, SIDE, SIDE] });
  return recipe(Math.max(1, Math.round(flops / trainingFlops(config, 1))));
}

/** FLOPs of a number of steps. */
export function trainingFlops(config: AcditConfig, steps: number): number {
  return 2 * trainingCost(config) * BATCH * steps;
}

const CLI = fileURLToPath(new URL('../../src/cli/main.ts', import.meta.url));

/** Run `acdit` as from the command line. @returns what it wrote to standard output. */
export async function acdit(...args: readonly string[]): Promise<string> {
  const child = spawn(process.execPath, [...process.execArgv, CLI, ...args], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  let output = '';
  child.stdout.on('data', (chunk) => {
    output += String(chunk);
  });
  const [code] = await once(child, 'close');
  if (code !== 0) throw new AcditError(`acdit ${args.join(' ')}: ended with ${code}`);
  return output;
}

/** Sample with and without the cache, and compare. */
export async function measureSampling(
  device: Device,
  config: AcditConfig,
  weights: Weights,
  images: number,
): Promise<Pick<StudyResult, 'withCache' | 'withoutCache' | 'difference'>> {
  const labels = Array.from({ length: images }, (_, i) => i % config.classes);
  const request = { labels, steps: STEPS, cfg: GUIDANCE, seed: 0 };
  const sampler = await createSampler({ config, weights, device });
  const cached = () => finalLatents(sampler.sample(request));
  await cached(); // the first time takes longer
  const [withCache, cachedSeconds] = await timed(cached);
  await sampler.dispose();
  const [without, seconds] = await timed(() => sampleWithoutCache(device, config, weights, request));
  return {
    withCache: { flops: 2 * sampleCost(config, 2 * STEPS), seconds: cachedSeconds / images },
    withoutCache: { flops: 2 * costWithoutCache(config, STEPS), seconds: seconds / images },
    difference: without.data.reduce(
      (most, value, i) => Math.max(most, Math.abs(value - float32At(withCache.data, i))),
      0,
    ),
  };
}

/** Measures processor time, which other work on the machine changes little. */
async function timed<T>(work: () => Promise<T>): Promise<[T, number]> {
  const before = process.cpuUsage();
  const result = await work();
  const { user, system } = process.cpuUsage(before);
  return [result, (user + system) / 1e6];
}
