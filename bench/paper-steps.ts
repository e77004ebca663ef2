/** @file A denoising step and a training step of the paper's image models, with weights from a formula, for timing. */

import { linearNoiseSchedule } from '../src/diffusion/noise-schedule.ts';
import { type AcditConfig, tokenSize } from '../src/models/acdit/config.ts';
import { parameters } from '../src/models/acdit/weights.ts';
import type { Device } from '../src/runtime/device.ts';
import { EMPTY_CACHE } from '../src/sampling/cache.ts';
import { openNoisePredictor } from '../src/sampling/noise-predictor.ts';
import type { Precision } from '../src/sampling/precision.ts';
import { Generator } from '../src/tensor/generator.ts';
import { elementCount, float32, type Tensor } from '../src/tensor/tensor.ts';
import { compileGradientPass } from '../src/training/compile-gradient-pass.ts';
import { noiseBatch } from '../src/training/noising.ts';
import { clipFactor, compileOptimizer, initialState, zerosLike } from '../src/training/optimizer.ts';
import { formulaTensor, formulaWeights, paperImageConfig } from '../test/support/formula-weights.ts';

export type Size = 'B' | 'L' | 'XL' | 'H';
/** Guidance branches of a denoising step. */
export const BRANCHES = 2;

export interface DenoisingStep {
  readonly config: AcditConfig;
  /** One pass over a block of 256 tokens in two guidance branches. */
  step(): Promise<Tensor<'float32'>>;
  /** Caches one more block, which later steps attend. */
  append(): Promise<void>;
}

export async function openDenoisingStep(
  device: Device,
  model: Size | AcditConfig,
  precision?: Precision,
): Promise<DenoisingStep> {
  const config = typeof model === 'string' ? paperImageConfig(model) : model;
  const shapes = parameters(config);
  // One tensor at a time, as from a file: the predictor keeps its own copy.
  const predictor = await openNoisePredictor(
    device,
    config,
    async (name) => formulaTensor(name, shapes.get(name)!),
    { precision },
  );
  const latents = float32(
    [1, config.blockSize, tokenSize(config)],
    new Generator(0).randn(config.blockSize * tokenSize(config)),
  );
  const conditions = [
    { timestep: 500, label: Math.min(207, config.classes - 1) },
    { timestep: 500, label: config.classes },
  ];
  const table = await predictor.modulations(conditions);
  let cache = EMPTY_CACHE;
  return {
    config,
    async step() {
      return predictor.denoise(latents, conditions, table, cache);
    },
    async append() {
      cache = await predictor.append(latents, cache);
    },
  };
}

export interface TrainingStep {
  readonly config: AcditConfig;
  /** Forward and backward of images of 1024 tokens, clipping, AdamW and moving average. */
  step(): Promise<void>;
  /** The part after the gradients. */
  optimize(): Promise<void>;
}

export async function openTrainingStep(
  device: Device,
  size: Size,
  activations: 'save' | 'recompute',
  images = 1,
): Promise<TrainingStep> {
  const config = paperImageConfig(size);
  const state = initialState(formulaWeights(config));
  const gradients = zerosLike(state.weights);
  const pass = await compileGradientPass(device, config, images, activations);
  const optimizer = await compileOptimizer(device, {
    betas: [0.9, 0.95],
    epsilon: 1e-8,
    weightDecay: 0,
    ema: 0.9999,
  });
  const tokens = [images, config.blocks, config.blockSize, config.channels];
  const clean = float32(tokens, new Generator(1).randn(elementCount(tokens)));
  const labels = new Array<number>(images).fill(207);
  const batch = noiseBatch(
    config,
    linearNoiseSchedule(),
    clean,
    labels,
    { labelDrop: 0.1 },
    new Generator(2),
  );
  let count = 0;
  const optimize = async (): Promise<void> => {
    const gradientScale = clipFactor(await optimizer.norm(gradients), 1);
    await optimizer.step(state, gradients, { learningRate: 1e-4, step: ++count, gradientScale });
  };
  return {
    config,
    optimize,
    async step() {
      await pass.run(state.weights, batch, gradients);
      await optimize();
    },
  };
}
