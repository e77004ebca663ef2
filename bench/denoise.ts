/**
 * @file One denoising step of the paper's image models, as a share of the machine's matrix-product speed.
 * Usage: npm run bench:denoise -- [B|L|XL|H] [repeats]
 * Two guidance branches of 256 tokens attend 0, 256, 512 and 768 cached tokens. Only the arithmetic that the method
 * needs is counted: products with the weights, and of queries with keys and values.
 */

import { stepCost } from '../src/models/acdit/cost.ts';
import { parameters } from '../src/models/acdit/weights.ts';
import { openCpu } from '../src/runtime/node.ts';
import { EMPTY_CACHE } from '../src/sampling/cache.ts';
import { openNoisePredictor } from '../src/sampling/noise-predictor.ts';
import { Generator } from '../src/tensor/generator.ts';
import { float32 } from '../src/tensor/tensor.ts';
import { formulaTensor, paperImageConfig } from '../test/support/formula-weights.ts';
import { compareWithProduct, compileMatrixSpeed, describeComparison } from './matrix-speed.ts';

const BRANCHES = 2;
const size = (process.argv[2] ?? 'XL') as 'B' | 'L' | 'XL' | 'H';
const repeats = Number(process.argv[3] ?? 25);

const config = paperImageConfig(size);
const device = openCpu();
const reference = await compileMatrixSpeed(device);
const shapes = parameters(config);
// One tensor at a time, as from a file: the predictor keeps its own copy.
const predictor = await openNoisePredictor(device, config, async (name) =>
  formulaTensor(name, shapes.get(name)!),
);

const latents = float32(
  [1, config.blockSize, config.channels],
  new Generator(0).randn(config.blockSize * config.channels),
);
const conditions = [
  { timestep: 500, label: 207 },
  { timestep: 500, label: config.classes },
];
const table = await predictor.modulations(conditions);
let cache = EMPTY_CACHE;
console.log(`ACDiT-${size}, ${config.layers} layers of ${config.hidden}, ${device.threads} threads`);
for (let block = 0; block < config.blocks; block++) {
  const step = (): Promise<unknown> => predictor.denoise(latents, conditions, table, cache);
  for (let i = 0; i < 2; i++) await step();
  const comparison = await compareWithProduct(reference, step, {
    operations: 2 * BRANCHES * stepCost(config, block),
    repeats,
    products: 2,
  });
  const cached = String(cache.blocks * config.blockSize).padStart(4);
  console.log(`${cached} cached: step ${describeComparison(comparison)}`);
  cache = await predictor.append(latents, cache);
}
console.log(`peak memory ${(process.resourceUsage().maxRSS / 1024).toFixed(0)} MB`);
await device.dispose();
