// @module-tag slow

import { join } from 'node:path';
import { afterAll, expect, it } from 'vitest';
import type { Dataset } from '../src/data/dataset.ts';
import { openCpu } from '../src/runtime/node.ts';
import { createSampler, finalLatents } from '../src/sampling/sampler.ts';
import { Generator } from '../src/tensor/generator.ts';
import { parseRecipe, recipeModel } from '../src/training/recipe.ts';
import { train } from '../src/training/trainer.ts';
import { temporaryFolder } from './support/temporary-folder.ts';

const device = openCpu();
afterAll(() => device.dispose());

const SIDE = 4;

/** Images of 4 x 4 pixels: the class 'dark' is -0.6 everywhere, 'light' 0.6, and each has a little noise. */
const shades: Dataset = {
  name: 'shades',
  size: 64,
  classNames: ['dark', 'light'],
  sampleShape: [1, 1, SIDE, SIDE],
  corruptCount: 0,
  async read(index) {
    const shade = index % 2 === 0 ? -0.6 : 0.6;
    const noise = new Generator(index).randn(SIDE * SIDE);
    return { label: index % 2, values: noise.map((value) => shade + 0.05 * value) };
  },
};

it.each([
  [{}, {}],
  [{ prediction: 'v', noiseSchedule: 'cosine' }, { lossWeighting: 'v' }],
  [{ prediction: 'sample', noiseShift: 2 }, { lossWeighting: 'min-snr' }],
  [
    { prediction: 'sample', noiseSchedule: 'flow' },
    { lossWeighting: 'v', timesteps: { mean: 0.8, deviation: 0.8 } },
  ],
  [{ prediction: 'flow', contextNoise: 50 }, { timestepPer: 'sample' }],
])('a model with %j, trained with %j, learns to draw its classes', async (model, training) => {
  const recipe = parseRecipe({
    model: { layers: 1, hidden: 32, heads: 2, patch: 2, blocks: 2, squareBlocks: false, ...model },
    data: { path: 'shades' },
    training: { steps: 400, batch: 16, learningRate: 3e-3, ema: 0.95, seed: 1, labelDrop: 0, ...training },
    output: { folder: join(temporaryFolder(), 'run'), checkpointEvery: 400 },
  });
  const config = recipeModel(recipe, shades);
  const { state } = await train({ recipe, config, dataset: shades, device });
  const sampler = await createSampler({ config, weights: state.ema, device });
  const latents = await finalLatents(sampler.sample({ labels: [0, 1, 0, 1], steps: 12, cfg: 1, seed: 3 }));
  const { data } = latents;
  for (const sample of [0, 1, 2, 3]) {
    const values = data.slice(sample * SIDE ** 2, (sample + 1) * SIDE ** 2);
    const mean = values.reduce((sum, value) => sum + value, 0) / values.length;
    expect(Math.abs(mean - (sample % 2 === 0 ? -0.6 : 0.6))).toBeLessThan(0.2);
  }
  await sampler.dispose();
});
