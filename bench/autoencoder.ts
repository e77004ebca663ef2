/**
 * @file Decoding and encoding with the Stable Diffusion autoencoder, as a share of the machine's matrix-product speed.
 * Usage: npm run bench:autoencoder -- [decode|encode] [size] [images]
 * Only the multiply-adds of convolutions, products and attention are counted.
 */

import { createAutoencoder } from '../src/models/autoencoder/autoencoder.ts';
import type { AutoencoderConfig } from '../src/models/autoencoder/config.ts';
import { autoencoderParameters, type Part, stagesOf } from '../src/models/autoencoder/stages.ts';
import { openCpu } from '../src/runtime/node.ts';
import { Generator } from '../src/tensor/generator.ts';
import { elementCount, float32 } from '../src/tensor/tensor.ts';
import { formulaTensor, stableDiffusionAutoencoder } from '../test/support/formula-weights.ts';
import { compareWithProduct, compileMatrixSpeed, describeComparison } from './matrix-speed.ts';

const part: Part = process.argv[2] === 'encode' ? 'encoder' : 'decoder';
const size = Number(process.argv[3] ?? 256);
const images = Number(process.argv[4] ?? 8);

/** Multiply-adds of one image: each weight of a convolution is used once for every pixel of its result. */
function multiplyAdds(config: AutoencoderConfig): number {
  let pixels = part === 'encoder' ? size ** 2 : (size / 8) ** 2;
  let sum = 0;
  for (const stage of stagesOf(config, part)) {
    const { name } = stage;
    if (stage.kind === 'convolution' && stage.resize) pixels *= stage.resize === 'up' ? 4 : 1 / 4;
    if (stage.kind === 'attention') sum += 2 * pixels ** 2 * stage.inputs;
    for (const [parameter, shape] of shapes) {
      if (parameter.startsWith(`${name}.`) && shape.length > 1) sum += pixels * elementCount(shape);
    }
  }
  return sum;
}

const config = stableDiffusionAutoencoder;
const shapes = autoencoderParameters(config, [part]);
const device = openCpu();
const reference = await compileMatrixSpeed(device);
const autoencoder = await createAutoencoder({
  config,
  device,
  parts: [part],
  weights: async (name) => formulaTensor(name, shapes.get(name)!),
});

const shape = part === 'encoder' ? [1, 3, size, size] : [1, 4, size / 8, size / 8];
const input = float32(shape, new Generator(0).randn(elementCount(shape)));
const work = (): Promise<unknown> =>
  part === 'encoder' ? autoencoder.encode(input) : autoencoder.decode(input);
const giga = multiplyAdds(config) / 1e9;
console.log(`${part}, ${size} x ${size}, ${giga.toFixed(0)} GMACs per image, ${device.threads} threads`);
await work();
const comparison = await compareWithProduct(reference, work, {
  operations: 2e9 * giga,
  repeats: images,
  products: 6,
});
console.log(`one image: ${describeComparison(comparison)}`);
console.log(`peak memory ${(process.resourceUsage().maxRSS / 1024).toFixed(0)} MB`);
await device.dispose();
