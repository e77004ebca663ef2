/** @file The recipes that are shipped. */

import { readdirSync, readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { parameterCount } from '../models/acdit/weights.ts';
import { learningRate } from './learning-rate.ts';
import { type DatasetTraits, parseRecipe, type Recipe, recipeModel } from './recipe.ts';

const FOLDER = new URL('../../recipes/', import.meta.url);
const files = readdirSync(FOLDER).filter((name) => name.endsWith('.json'));

const read = (file: string): Recipe =>
  parseRecipe(JSON.parse(readFileSync(new URL(file, FOLDER), 'utf8')), file);
const names = (count: number): string[] => Array.from({ length: count }, (_, i) => `class ${i}`);

const imageNet: DatasetTraits = {
  classNames: names(1000),
  sampleShape: [1, 4, 32, 32],
  autoencoder: { fingerprint: 'of stable diffusion', scalingFactor: 0.18215, downsampling: 8 },
};
const ucf101: DatasetTraits = { ...imageNet, classNames: names(101), sampleShape: [16, 4, 32, 32] };
/** What each recipe's data is like. */
const data: Readonly<Record<string, DatasetTraits>> = {
  avatars: { classNames: names(10), sampleShape: [1, 3, 64, 64] },
  'fashion-mnist': { classNames: names(10), sampleShape: [1, 1, 32, 32] },
  'fashion-mnist-debiased': { classNames: names(10), sampleShape: [1, 1, 32, 32] },
  'fashion-mnist-longer': { classNames: names(10), sampleShape: [1, 1, 32, 32] },
  'moving-fashion-mnist': { classNames: names(10), sampleShape: [16, 1, 32, 32] },
  'moving-fashion-mnist-debiased': { classNames: names(10), sampleShape: [16, 1, 32, 32] },
  'moving-fashion-mnist-slower': { classNames: names(10), sampleShape: [16, 1, 32, 32] },
  'moving-fashion-mnist-two-frames': { classNames: names(10), sampleShape: [16, 1, 32, 32] },
  'moving-fashion-mnist-longer': { classNames: names(10), sampleShape: [16, 1, 32, 32] },
  'imagenet256-b': imageNet,
  'imagenet256-l': imageNet,
  'imagenet256-xl': imageNet,
  'imagenet256-h': imageNet,
  'ucf101-xl': ucf101,
  'ucf101-h': ucf101,
};

describe('the recipes of docs/training.md', () => {
  const text = readFileSync(new URL('../../docs/training.md', import.meta.url), 'utf8');
  const blocks = [...text.matchAll(/```json\n(.*?)```/gs)].map(([, json]) => JSON.parse(json));
  it('are four', () => expect(blocks).toHaveLength(4));
  it.each(blocks)('$data.path: valid, and make a model', (json) => {
    const recipe = parseRecipe(json);
    const { imageSize, frames = 1 } = recipe.data;
    const sampleShape = [frames, 3, imageSize ?? 0, imageSize ?? 0] as const;
    const config = recipeModel(recipe, imageSize ? { classNames: names(3), sampleShape } : imageNet);
    const imageBlock = recipe.data.path === 'avatars' ? 16 : 64;
    expect(config).toMatchObject({ frames, blocks: 4, blockSize: frames === 1 ? imageBlock : 256 });
  });
});

describe('the recipes that are shipped', () => {
  it.each(files)('%s is valid and makes a model', (file) => {
    expect(file).toMatch(/\.json$/);
    const recipe = read(file);
    const name = file.slice(0, -'.json'.length);
    expect(Object.keys(data)).toContain(name);
    const config = recipeModel(recipe, data[name]);
    expect(recipe.data.frames ?? 1).toBe(config.frames);
    expect(recipe.output.folder).toBe(`runs/${name}`);
    if (recipe.data.imageSize !== undefined) {
      expect(recipe.data.imageSize).toBe(config.height * (config.space === 'latents' ? 8 : 1));
    }
  });

  it.each([
    ['b', 130_305_028],
    ['l', 457_851_908],
    ['xl', 674_856_708],
    ['h', 950_959_620],
  ])("imagenet256-%s has the paper's settings and size", (size, parameters) => {
    const { training, data, ...recipe } = read(`imagenet256-${size}.json`);
    expect(training.batch * training.accumulate).toBe(1024);
    expect(training).toMatchObject({
      steps: 1_200_000,
      warmupSteps: 0,
      betas: [0.9, 0.95],
      weightDecay: 0,
      clip: 1,
      ema: 0.9999,
      labelDrop: 0.1,
    });
    const rates = {
      kind: training.schedule,
      peak: training.learningRate,
      totalSteps: training.steps,
      decayFraction: training.decayFraction,
    };
    const rateAt = (step: number): number => learningRate(rates, step) / 3e-4;
    expect([0, 1_020_000, 1_110_000, 1_200_000].map(rateAt)).toEqual([1, 1, 1 / 8, 1 / 64]);
    expect(data).toMatchObject({ flip: true, crop: 0, imageSize: 256 });
    expect(recipe.output.guidance).toBe(1.5);
    const config = recipeModel({ training, data, ...recipe }, imageNet);
    expect(config).toMatchObject({ patch: 1, blocks: 4, blockSize: 256, squareBlocks: true, channels: 4 });
    expect(parameterCount(config)).toBe(parameters);
  });

  it.each([
    ['xl', 673_848_720],
    ['h', 949_839_632],
  ])("ucf101-%s has the paper's settings and size", (size, parameters) => {
    const { training, data, ...recipe } = read(`ucf101-${size}.json`);
    expect(training.batch * training.accumulate).toBe(96);
    expect(training).toMatchObject({
      steps: 400_000,
      learningRate: 3e-4,
      schedule: 'wsd',
      warmupSteps: 0,
      decayFraction: 0.15,
      betas: [0.9, 0.95],
      weightDecay: 0,
      clip: 1,
      ema: 0.9999,
      labelDrop: 0.1,
    });
    expect(data).toMatchObject({ frames: 16, frameInterval: 3, flip: true, imageSize: 256 });
    const config = recipeModel({ training, data, ...recipe }, ucf101);
    expect(config).toMatchObject({ patch: 2, blocks: 4, blockSize: 1024, squareBlocks: false, frames: 16 });
    expect(config).toMatchObject({ positionSplit: [2, 3, 3], guidance: 2.5 });
    expect(parameterCount(config)).toBe(parameters);
  });

  it('avatars is small enough to be shipped', () => {
    const config = recipeModel(read('avatars.json'), data.avatars);
    expect(config).toMatchObject({ channels: 3, blocks: 4, blockSize: 16, prediction: 'sample' });
    expect(2 * parameterCount(config)).toBeLessThan(20e6);
  });

  it('moving-fashion-mnist is small enough to be shipped', () => {
    const config = recipeModel(read('moving-fashion-mnist.json'), data['moving-fashion-mnist']);
    expect(config).toMatchObject({ frames: 16, blocks: 4, squareBlocks: false, space: 'pixels' });
    expect(2 * parameterCount(config)).toBeLessThan(15e6);
  });
});
