import { describe, expect, it } from 'vitest';
import { randomWeights } from '../../test/support/random-weights.ts';
import { tinyConfig } from '../../test/support/tiny-config.ts';
import type { Dataset } from '../data/dataset.ts';
import { linearNoiseSchedule } from '../diffusion/noise-schedule.ts';
import { ConfigError, DatasetError } from '../errors.ts';
import type { AcditConfig } from '../models/acdit/config.ts';
import { patchify } from '../models/acdit/layout.ts';
import { openCpu } from '../runtime/node.ts';
import { Generator } from '../tensor/generator.ts';
import { float32 } from '../tensor/tensor.ts';
import { compileGradientPass } from './compile-gradient-pass.ts';
import { zerosLike } from './optimizer.ts';
import { openValidation, type ValidationOptions } from './validation.ts';

const BLOCKS = 4;
const device = openCpu({ threads: 1 });

/** Images of 8 x 8 with random pixels; every `corrupt` one cannot be read. */
function dataset(size: number, corrupt: readonly number[] = []): Dataset {
  return {
    name: 'held-out',
    size,
    sampleShape: [1, 1, 8, 8],
    classNames: ['a', 'b', 'c'],
    corruptCount: 0,
    async read(index) {
      if (corrupt.includes(index)) return undefined;
      return { values: new Generator(100 + index).randn(64), label: index % 3 };
    },
  };
}

const uniform = { lossWeighting: 'uniform', timesteps: 'uniform', timestepPer: 'block' } as const;

/** Each block's squared error and timestep, sample by sample, from the prediction of a gradient pass of one sample. */
async function plainErrors(config: AcditConfig, data: Dataset, samples: number, bins: number, seed: number) {
  const weights = randomWeights(config);
  const gradients = zerosLike(weights);
  const pass = await compileGradientPass(device, config, 1);
  const { alphasCumprod } = linearNoiseSchedule();
  const errors: { block: number; timestep: number; error: number }[] = [];
  const order = [...Generator.seeded(seed, 3).randperm(data.size)];
  for (let count = 0; count < samples && order.length > 0; ) {
    const index = order.shift()!;
    const generator = Generator.seeded(seed, 4, count);
    const sample = await data.read(index, generator);
    if (!sample) continue;
    const draws = generator.rand(BLOCKS);
    const clean = patchify(config, float32([1, 1, 1, 8, 8], sample.values));
    const noise = generator.randn(64);
    const timesteps = Array.from(draws, (draw, block) =>
      Math.floor((1000 * (((count + block) % bins) + draw)) / bins),
    );
    const noised = clean.data.map((value, i) => {
      const alpha = alphasCumprod[timesteps[Math.floor(i / 16)]];
      return Math.sqrt(alpha) * value + Math.sqrt(1 - alpha) * noise[i];
    });
    const batch = {
      clean,
      noised: float32(clean.shape, noised),
      target: float32(clean.shape, noise),
      timesteps,
      labels: [sample.label],
    };
    const { prediction } = await pass.run(weights, batch, gradients);
    for (let block = 0; block < BLOCKS; block++) {
      let error = 0;
      for (let i = 16 * block; i < 16 * (block + 1); i++) error += (prediction.data[i] - noise[i]) ** 2 / 16;
      errors.push({ block, timestep: timesteps[block], error });
    }
    count++;
  }
  await pass.dispose();
  return errors;
}

const mean = (values: readonly number[]): number =>
  values.reduce((sum, value) => sum + value, 0) / values.length;

async function validate(options: Omit<ValidationOptions, 'device'>) {
  const validation = await openValidation({ device, ...options });
  const scores = await validation.run(randomWeights(options.config));
  const again = await validation.run(randomWeights(options.config));
  await validation.dispose();
  expect(again).toEqual(scores);
  return scores;
}

describe('the validation loss', () => {
  it('is that of a plain loop over the samples, also by timesteps and by block', async () => {
    const config = tinyConfig();
    const data = dataset(60, [3, 17]);
    const settings = { samples: 40, timestepBins: 5, seed: 7 };
    const scores = await validate({ config, dataset: data, training: uniform, settings });
    const errors = await plainErrors(config, data, 40, 5, 7);
    const meanOf = (keep: (error: (typeof errors)[number]) => boolean) =>
      mean(errors.filter(keep).map(({ error }) => error));
    const expected: Record<string, number> = { loss: meanOf(() => true) };
    for (const first of [0, 200, 400, 600, 800]) {
      const name = `timestep-${String(first).padStart(3, '0')}-${String(first + 199).padStart(3, '0')}`;
      expected[name] = meanOf(({ timestep }) => timestep >= first && timestep < first + 200);
    }
    for (let block = 0; block < BLOCKS; block++)
      expected[`block-${block}`] = meanOf((error) => error.block === block);
    expect(Object.keys(scores)).toEqual(Object.keys(expected));
    for (const [name, value] of Object.entries(expected)) expect(scores[name] / value).toBeCloseTo(1, 5);
  });

  it('weights timesteps as the recipe does: the mean over the timesteps that it would draw', async () => {
    const config = tinyConfig();
    const data = dataset(60);
    const timesteps = { mean: 0.5, deviation: 1 };
    const training = { ...uniform, lossWeighting: 'debiased', timesteps } as const;
    const settings = { samples: 60, timestepBins: 10, seed: 0 };
    const scores = await validate({ config, dataset: data, training, settings });
    // The formulas: noise / signal, normalised, times the density of a logit-normal.
    const { alphasCumprod } = linearNoiseSchedule();
    const density = Array.from({ length: 1000 }, (_, t) => {
      const share = (t + 0.5) / 1000;
      return Math.exp(-((Math.log(share / (1 - share)) - 0.5) ** 2) / 2) / (share * (1 - share));
    });
    const weights = Array.from(alphasCumprod, (alpha) => Math.sqrt((1 - alpha) / alpha));
    const total = density.reduce((sum, value) => sum + value, 0);
    const scale = density.reduce((sum, value, t) => sum + (value / total) * weights[t], 0);
    const errors = await plainErrors(config, data, 60, 10, 0);
    const expected = mean(
      errors.map(
        ({ timestep, error }) => (error * 1000 * density[timestep] * weights[timestep]) / total / scale,
      ),
    );
    expect(scores.loss / expected).toBeCloseTo(1, 4);
  });

  it('has one timestep per sample where the training has', async () => {
    const training = { ...uniform, timestepPer: 'sample' } as const;
    const settings = { samples: 1, timestepBins: 10, seed: 0 };
    const scores = await validate({ config: tinyConfig(), dataset: dataset(5), training, settings });
    expect(Object.keys(scores).filter((name) => name.startsWith('timestep'))).toEqual(['timestep-000-099']);
  });

  it('is refused for data that does not fit, or of which nothing can be read', async () => {
    const settings = { samples: 4, timestepBins: 10, seed: 0 };
    const options = { config: tinyConfig(), training: uniform, settings };
    const other = { ...dataset(4), classNames: ['a', 'b'] };
    await expect(validate({ ...options, dataset: other })).rejects.toThrow(ConfigError);
    await expect(validate({ ...options, dataset: dataset(2, [0, 1]) })).rejects.toThrow(DatasetError);
  });
});
