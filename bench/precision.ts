/**
 * @file A denoising step of the paper's image models in float32 and in 8 bits, in turns, so that other load on
 * the machine slows both equally.
 * Usage: npm run bench:precision -- [B|L|XL|H] [tokens cached: 0, 256, 512 or 768] [repeats] [bits of a weight: 7]
 * With 7 bits, weights are rounded as for processors without instructions for 8 bits (VNNI). The instructions are still those of
 * the processor at hand, so it is the error that counts, not the time.
 */

import { weightBits } from '../src/runtime/byte-products.ts';
import { openCpu } from '../src/runtime/node.ts';
import type { Tensor } from '../src/tensor/tensor.ts';
import { withSevenBits } from '../test/support/altered-device.ts';
import { median, time } from './matrix-speed.ts';
import { type DenoisingStep, openDenoisingStep, type Size } from './paper-steps.ts';
import { processor } from './processor.ts';

const size = (process.argv[2] ?? 'B') as Size;
const cached = Number(process.argv[3] ?? 0);
const repeats = Number(process.argv[4] ?? 15);

const bits = process.argv[5] ?? 'detected';
if (bits !== 'detected' && bits !== '7') throw new Error(`bits must be 7 or left out, got ${bits}`);

const device = bits === '7' ? withSevenBits(openCpu()) : openCpu();
const exact = await open('fp32');
const rounded = await open('int8');
console.log(processor());
console.log(`ACDiT-${size}, ${cached} tokens cached, weights of ${await weightBits(device)} bits`);
console.log(
  `error of the noise ${(100 * relativeError(await exact.step(), await rounded.step())).toFixed(2)}%`,
);
const [exactTimes, roundedTimes]: [number[], number[]] = [[], []];
for (let i = 0; i < repeats; i++) {
  exactTimes.push(await time(exact.step));
  roundedTimes.push(await time(rounded.step));
}
console.log(`float32 ${(median(exactTimes) / 1000).toFixed(3)} s`);
console.log(`int8    ${(median(roundedTimes) / 1000).toFixed(3)} s`);
console.log(`ratio ${(median(roundedTimes) / median(exactTimes)).toFixed(2)}`);
await device.dispose();

async function open(precision: 'fp32' | 'int8'): Promise<DenoisingStep> {
  const opened = await openDenoisingStep(device, size, precision);
  for (let block = 0; block < cached / opened.config.blockSize; block++) await opened.append();
  for (let i = 0; i < 2; i++) await opened.step();
  return opened;
}

/** Root mean square of the difference, as a share of the expected values'. */
function relativeError(expected: Tensor<'float32'>, actual: Tensor<'float32'>): number {
  const squares = (values: ArrayLike<number>): number =>
    Array.from(values).reduce((sum, x) => sum + x * x, 0);
  const differences = Float64Array.from(expected.data, (value, i) => value - (actual.data[i] ?? Number.NaN));
  return Math.sqrt(squares(differences) / squares(expected.data));
}
