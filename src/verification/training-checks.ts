/** @file Golden numbers of training: noising, prediction, loss, every gradient, and three optimizer steps. */

import { at, take } from '../at.ts';
import { linearNoiseSchedule } from '../diffusion/noise-schedule.ts';
import type { AcditConfig } from '../models/acdit/config.ts';
import type { Weights } from '../models/acdit/weights.ts';
import { compileGradientPass } from '../training/compile-gradient-pass.ts';
import type { GradientPass, NoisedBatch } from '../training/gradient-pass.ts';
import { noiseBlocks } from '../training/noising.ts';
import {
  clipFactor,
  compileOptimizer,
  initialState,
  type Optimizer,
  zerosLike,
} from '../training/optimizer.ts';
import {
  type Check,
  compare,
  type GoldenNumbers,
  readIndices,
  readLatents,
  TOLERANCE,
  type VerificationOptions,
} from './check.ts';

/** What the golden numbers were made with. */
const OPTIMIZER = { betas: [0.9, 0.95], epsilon: 1e-8, weightDecay: 0.05, ema: 0 } as const;
const CLIP = 1;
const LEARNING_RATE = 1e-4;

/** Check what `golden` has of training. The weights stay as they are. */
export async function* checkTraining(options: VerificationOptions): AsyncGenerator<Check> {
  const { config, golden, device } = options;
  if (!golden.has('train.clean')) return;
  const batch = await readBatch(config, golden);
  yield* compare(golden, 'train.noised', batch.noised.data, TOLERANCE.pass);
  const pass = await compileGradientPass(device, config, at(batch.clean.shape, 0));
  const optimizer = await compileOptimizer(device, OPTIMIZER);
  try {
    yield* checkSteps(options, pass, optimizer, batch);
  } finally {
    await pass.dispose();
    await optimizer.dispose();
  }
}

async function readBatch(config: AcditConfig, golden: GoldenNumbers): Promise<NoisedBatch> {
  const schedule = linearNoiseSchedule();
  const clean = await readLatents(config, golden, 'train.clean');
  const noise = await readLatents(config, golden, 'train.noise');
  const [samples, blocks] = take(clean.shape, 2);
  const timesteps = await readIndices(golden, 'train.timesteps', schedule.trainSteps, samples * blocks);
  const labels = await readIndices(golden, 'train.labels', config.classes + 1, samples);
  return { clean, target: noise, noised: noiseBlocks(schedule, clean, noise, timesteps), timesteps, labels };
}

/** Gradients on the untouched weights, then three steps on the same batch. */
async function* checkSteps(
  { weights, golden, signal }: VerificationOptions,
  pass: GradientPass,
  optimizer: Optimizer,
  batch: NoisedBatch,
): AsyncGenerator<Check> {
  const state = initialState(copyOf(weights));
  const gradients = zerosLike(weights);
  for (let step = 0; step < 3; step++) {
    signal?.throwIfAborted();
    const { loss, prediction } = await pass.run(state.weights, batch, gradients, signal);
    const norm = await optimizer.norm(gradients);
    if (step > 0) yield* compare(golden, `train.step${step}.loss`, [loss], TOLERANCE.training);
    else {
      yield* compare(golden, 'train.prediction', prediction.data, TOLERANCE.pass);
      yield* compare(golden, 'train.loss', [loss], TOLERANCE.pass);
      yield* compare(golden, 'train.grad_norm', [norm], TOLERANCE.pass);
      for (const [name, { data }] of gradients) {
        yield* compare(golden, `train.grad.${name}`, data, TOLERANCE.pass);
      }
    }
    const gradientScale = clipFactor(norm, CLIP);
    await optimizer.step(state, gradients, { learningRate: LEARNING_RATE, step: step + 1, gradientScale });
  }
  for (const [name, { data }] of state.weights) {
    yield* compare(golden, `train.after3.${name}`, data, TOLERANCE.training);
  }
}

function copyOf(weights: Weights): Weights {
  return new Map([...weights].map(([name, value]) => [name, { ...value, data: value.data.slice() }]));
}
