/**
 * @file One training step of the paper's image models (batch 1, 1024 tokens), as a share of the machine's
 * matrix-product speed: forward, backward, clipping, AdamW and moving average.
 * Usage: npm run bench:train -- [B|L|XL|H] [repeats] [save|recompute]
 * Only the arithmetic that the method needs is counted: products with the weights, of queries with keys and values
 * that the mask allows, and twice that for the gradients. What is computed again counts against us.
 */

import { linearNoiseSchedule } from '../src/diffusion/noise-schedule.ts';
import { trainingCost } from '../src/models/acdit/cost.ts';
import { openCpu } from '../src/runtime/node.ts';
import { Generator } from '../src/tensor/generator.ts';
import { float32 } from '../src/tensor/tensor.ts';
import { compileGradientPass } from '../src/training/compile-gradient-pass.ts';
import { noiseBatch } from '../src/training/noising.ts';
import { clipFactor, compileOptimizer, initialState, zerosLike } from '../src/training/optimizer.ts';
import { formulaWeights, paperImageConfig } from '../test/support/formula-weights.ts';
import { compareWithProduct, compileMatrixSpeed, describeComparison, time } from './matrix-speed.ts';

const size = (process.argv[2] ?? 'B') as 'B' | 'L' | 'XL' | 'H';
const repeats = Number(process.argv[3] ?? 7);
const activations = process.argv[4] === 'recompute' ? 'recompute' : 'save';

const config = paperImageConfig(size);
const device = openCpu();
const reference = await compileMatrixSpeed(device);
const state = initialState(formulaWeights(config));
const gradients = zerosLike(state.weights);
const pass = await compileGradientPass(device, config, 1, activations);
const optimizer = await compileOptimizer(device, {
  betas: [0.9, 0.95],
  epsilon: 1e-8,
  weightDecay: 0,
  ema: 0.9999,
});
const tokens = [1, config.blocks, config.blockSize, config.channels];
const clean = float32(tokens, new Generator(1).randn(config.blocks * config.blockSize * config.channels));
const batch = noiseBatch(config, linearNoiseSchedule(), clean, [207], { labelDrop: 0.1 }, new Generator(2));

let count = 0;
async function step(): Promise<void> {
  await pass.run(state.weights, batch, gradients);
  const norm = await optimizer.norm(gradients);
  count++;
  await optimizer.step(state, gradients, {
    learningRate: 1e-4,
    step: count,
    gradientScale: clipFactor(norm, 1),
  });
}

for (let i = 0; i < 2; i++) await step();
const comparison = await compareWithProduct(reference, step, {
  operations: 2 * trainingCost(config),
  repeats,
  products: 12,
});
const optimizing = await time(async () => {
  await optimizer.norm(gradients);
  await optimizer.step(state, gradients, { learningRate: 1e-4, step: ++count, gradientScale: 1 });
});
console.log(
  `ACDiT-${size} training step, ${activations === 'recompute' ? 'recomputing' : 'saving'} activations, ${device.threads} threads: ` +
    `${describeComparison(comparison)}, of which clipping, AdamW and EMA ${optimizing.toFixed(0)} ms`,
);
console.log(`peak memory ${(process.resourceUsage().maxRSS / 1024).toFixed(0)} MB`);
await device.dispose();
