/**
 * @file One training step of the paper's image models (1024 tokens per image), as a share of the machine's
 * matrix-product speed: forward, backward, clipping, AdamW and moving average.
 * Usage: npm run bench:train -- [B|L|XL|H] [repeats] [save|recompute] [images per step: 1]
 * Only the arithmetic that the method needs is counted: products with the weights, of queries with keys and values
 * that the mask allows, and twice that for the gradients. Recomputed activations count as overhead.
 */

import { trainingCost } from '../src/models/acdit/cost.ts';
import { openCpu } from '../src/runtime/node.ts';
import { compareWithProduct, compileMatrixSpeed, describeComparison, time } from './matrix-speed.ts';
import { openTrainingStep, type Size } from './paper-steps.ts';

const size = (process.argv[2] ?? 'B') as Size;
const repeats = Number(process.argv[3] ?? 7);
const activations = process.argv[4] === 'recompute' ? 'recompute' : 'save';
const images = Number(process.argv[5] ?? 1);

const device = openCpu();
const reference = await compileMatrixSpeed(device);
const { config, step, optimize } = await openTrainingStep(device, size, activations, images);
for (let i = 0; i < 2; i++) await step();
const comparison = await compareWithProduct(reference, step, {
  operations: 2 * images * trainingCost(config),
  repeats,
  products: 12,
});
const optimizing = await time(optimize);
console.log(
  `ACDiT-${size} training step of ${images} image${images === 1 ? '' : 's'}, ${activations === 'recompute' ? 'recomputing' : 'saving'} activations, ${device.threads} threads: ` +
    `${describeComparison(comparison)}, of which clipping, AdamW and EMA ${optimizing.toFixed(0)} ms`,
);
console.log(`peak memory ${(process.resourceUsage().maxRSS / 1024).toFixed(0)} MB`);
await device.dispose();
