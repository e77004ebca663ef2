import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { linearNoiseSchedule } from '../src/diffusion/noise-schedule.ts';
import type { AcditConfig } from '../src/models/acdit/config.ts';
import { tokenSize } from '../src/models/acdit/config.ts';
import type { Weights } from '../src/models/acdit/weights.ts';
import { openCpu } from '../src/runtime/node.ts';
import { EMPTY_CACHE } from '../src/sampling/cache.ts';
import { openNoisePredictor } from '../src/sampling/noise-predictor.ts';
import { blockOf } from '../src/sampling/request.ts';
import { Generator } from '../src/tensor/generator.ts';
import { float32, type Tensor } from '../src/tensor/tensor.ts';
import { compileGradientPass } from '../src/training/compile-gradient-pass.ts';
import type { GradientPass } from '../src/training/gradient-pass.ts';
import { noiseBatch } from '../src/training/noising.ts';
import { zerosLike } from '../src/training/optimizer.ts';
import { dot } from './support/evaluate.ts';
import { formulaWeights } from './support/formula-weights.ts';
import { relativeError } from './support/golden.ts';
import { tinyConfig } from './support/tiny-config.ts';

const device = openCpu();
afterAll(() => device.dispose());

const shapes: [name: string, config: AcditConfig, samples: number][] = [
  ['one block, which is full-sequence diffusion', tinyConfig({ blocks: 1, blockSize: 16 }), 2],
  ['one-token blocks', tinyConfig({ blocks: 16, blockSize: 1 }), 2],
  ['tiny blocks in one-pixel tokens', tinyConfig({ patch: 1, blocks: 16 }), 1],
  ['a batch of one, in runs of tokens', tinyConfig({ blocks: 8, blockSize: 2, squareBlocks: false }), 1],
  ['one layer of one head', tinyConfig({ layers: 1, heads: 1 }), 3],
  ['5 heads of 12', tinyConfig({ hidden: 60, heads: 5, mlpRatio: 1.1, channels: 3 }), 2],
  ['2 heads of 64', tinyConfig({ hidden: 128, heads: 2, layers: 1 }), 1],
  [
    'a feed-forward network in unequal pieces',
    tinyConfig({ hidden: 100, heads: 5, mlpRatio: 8, layers: 1 }),
    2,
  ],
  ['heads of 4', tinyConfig({ hidden: 12, heads: 3, positionSplit: [1, 1] }), 2],
  ['a wide picture', tinyConfig({ width: 24, blocks: 12 }), 1],
  [
    'a video',
    tinyConfig({ frames: 3, blocks: 3, blockSize: 16, squareBlocks: false, positionSplit: [2, 1, 1] }),
    2,
  ],
];

/** A random direction, as large in each parameter as the parameter itself. */
function direction(weights: Weights): Weights {
  return new Map(
    [...weights].map(([name, { shape, data }], i) => {
      const size = Math.sqrt(dot({ data }, { data }) / data.length);
      return [
        name,
        float32(
          shape,
          Generator.seeded(i)
            .randn(data.length)
            .map((value) => value * size),
        ),
      ];
    }),
  );
}

function moved(weights: Weights, along: Weights, distance: number): Weights {
  return new Map(
    [...weights].map(([name, { shape, data }]) => {
      const by = along.get(name)!.data;
      return [
        name,
        float32(
          shape,
          data.map((value, i) => value + distance * by[i]),
        ),
      ];
    }),
  );
}

describe.each(shapes)('%s', (_, config, samples) => {
  const { blocks, blockSize } = config;
  const weights = formulaWeights(config);
  const shape = [samples, blocks, blockSize, tokenSize(config)];
  const count = shape.reduce((a, b) => a * b);
  const clean = float32(shape, Generator.seeded(1).randn(count));
  const labels = Array.from({ length: samples }, (_, n) => n % config.classes);
  const batch = noiseBatch(
    config,
    linearNoiseSchedule(),
    clean,
    labels,
    { labelDrop: 0.3 },
    Generator.seeded(2),
  );

  let pass: GradientPass;
  beforeAll(async () => {
    pass = await compileGradientPass(device, config, samples);
  });
  afterAll(() => pass.dispose());

  it('has the gradient of its loss', async () => {
    const gradients = zerosLike(weights);
    await pass.run(weights, batch, gradients);
    const along = direction(weights);
    let slope = 0;
    const step = 1 / 256;
    for (const [offset, factor] of [
      [-2, 1 / 12],
      [-1, -8 / 12],
      [1, 8 / 12],
      [2, -1 / 12],
    ]) {
      const there = await pass.run(moved(weights, along, offset * step), batch, zerosLike(weights));
      slope += (factor / step) * there.loss;
    }
    let expected = 0;
    let typical = 0; // what the slope is along most directions
    for (const [name, gradient] of gradients) {
      const by = along.get(name)!;
      expected += dot(gradient, by);
      typical += (dot(gradient, gradient) * dot(by, by)) / by.data.length;
    }
    expect(Math.abs(slope - expected)).toBeLessThan(1e-3 * Math.sqrt(typical));
  });

  it('predicts in training, all blocks at once, what it predicts in sampling, block by block', async () => {
    const { prediction } = await pass.run(weights, batch, zerosLike(weights));
    const predictor = await openNoisePredictor(device, config, weights);
    let cache = EMPTY_CACHE;
    for (let block = 0; block < blocks; block++) {
      const conditions = labels.map((_, n) => ({
        timestep: Number(batch.timesteps[n * blocks + block]),
        label: Number(batch.labels[n]),
      }));
      const table = await predictor.modulations(conditions);
      const predicted = await predictor.denoise(blockOf(batch.noised, block), conditions, table, cache);
      expect(relativeError(predicted, blockOf(prediction, block) as Tensor)).toBeLessThan(1e-4);
      cache = await predictor.append(blockOf(clean, block), cache);
    }
    await predictor.dispose();
  });
});
