/**
 * @file Metrics of given features at the scale of the ADM evaluator.
 * Usage: npm run bench:evaluate -- [samples] [reference] [dimensions] [metrics, such as frechet,kid]
 */

import { frechetDistance } from '../src/evaluation/frechet.ts';
import { gaussianOf } from '../src/evaluation/gaussian.ts';
import { kernelDistance } from '../src/evaluation/kernel-distance.ts';
import { inceptionScore } from '../src/evaluation/logit-scores.ts';
import { compareManifolds } from '../src/evaluation/manifolds.ts';
import type { Features } from '../src/evaluation/products.ts';
import { openCpu } from '../src/runtime/node.ts';
import { Generator } from '../src/tensor/generator.ts';
import { float32 } from '../src/tensor/tensor.ts';
import { time } from './matrix-speed.ts';

const [samplesText = '50000', referencesText = '10000', dimsText = '2048', metrics] = process.argv.slice(2);
const [samples, references, dims] = [Number(samplesText), Number(referencesText), Number(dimsText)];
const chosen = metrics?.split(',');

/** Independent normal values, moved a little. */
function randomFeatures(rows: number, columns: number, seed: number): Features {
  const generator = new Generator(seed);
  const data = new Float32Array(rows * columns);
  for (let row = 0; row < rows; row++) data.set(generator.randn(columns), row * columns);
  return float32([rows, columns], data);
}

const device = openCpu();
const reference = randomFeatures(references, dims, 0);
const sample = randomFeatures(samples, dims, 1);
console.log(
  `${samples} samples, ${references} of the reference, ${dims} dimensions, ${device.threads} threads`,
);

async function measure(name: string, work: () => Promise<unknown>): Promise<void> {
  if (chosen && !chosen.includes(name)) return;
  const before = process.cpuUsage();
  const seconds = (await time(work)) / 1000;
  const { user, system } = process.cpuUsage(before);
  const memory = (process.resourceUsage().maxRSS / 1024).toFixed(0);
  console.log(
    `${name}: ${seconds.toFixed(1)} s (${((user + system) / 1e6).toFixed(1)} s of processor time), peak ${memory} MB`,
  );
}

await measure('statistics', () => gaussianOf(device, sample));
await measure('frechet', async () =>
  frechetDistance(device, await gaussianOf(device, reference), await gaussianOf(device, sample)),
);
await measure('kid', () => kernelDistance(device, reference, sample));
await measure('neighbours', () => compareManifolds(device, reference, sample));
await measure('inception-score', async () => inceptionScore(randomFeatures(samples, 1008, 2)));
await device.dispose();
