/**
 * @file One denoising step of the paper's image models, as a share of the machine's matrix-product speed.
 * Usage: npm run bench:denoise -- [B|L|XL|H] [repeats]
 * Two guidance branches of 256 tokens attend 0, 256, 512 and 768 cached tokens. Only the arithmetic that the method
 * needs is counted: products with the weights, and of queries with keys and values.
 */

import { stepCost } from '../src/models/acdit/cost.ts';
import { openCpu } from '../src/runtime/node.ts';
import { compareWithProduct, compileMatrixSpeed, describeComparison } from './matrix-speed.ts';
import { BRANCHES, openDenoisingStep, type Size } from './paper-steps.ts';

const size = (process.argv[2] ?? 'XL') as Size;
const repeats = Number(process.argv[3] ?? 25);

const device = openCpu();
const reference = await compileMatrixSpeed(device);
const { config, step, append } = await openDenoisingStep(device, size);
console.log(`ACDiT-${size}, ${config.layers} layers of ${config.hidden}, ${device.threads} threads`);
for (let block = 0; block < config.blocks; block++) {
  for (let i = 0; i < 2; i++) await step();
  const comparison = await compareWithProduct(reference, step, {
    operations: 2 * BRANCHES * stepCost(config, block),
    repeats,
    products: 2,
  });
  const cached = String(block * config.blockSize).padStart(4);
  console.log(`${cached} cached: step ${describeComparison(comparison)}`);
  await append();
}
console.log(`peak memory ${(process.resourceUsage().maxRSS / 1024).toFixed(0)} MB`);
await device.dispose();
