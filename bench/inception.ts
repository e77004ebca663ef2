/**
 * @file Inception features of images, as for the FID, as a share of the machine's matrix-product speed.
 * Usage: npm run bench:inception -- [size of images] [images at once] [repeats]
 * Only the multiply-adds of convolutions are counted.
 */

import { input } from '../src/graph/symbolic.ts';
import { createInception, preprocess } from '../src/models/inception/inception.ts';
import { INCEPTION_LAYERS, INCEPTION_SIZE } from '../src/models/inception/layers.ts';
import { applyLayers, weightShape } from '../src/models/network-layers.ts';
import { openCpu } from '../src/runtime/node.ts';
import { elementCount, tensor, zeros } from '../src/tensor/tensor.ts';
import { formulaTensor } from '../test/support/formula-weights.ts';
import { convolutionCost } from './convolution-cost.ts';
import { compareWithProduct, compileMatrixSpeed, describeComparison, time } from './matrix-speed.ts';

const size = Number(process.argv[2] ?? 256);
const batch = Number(process.argv[3] ?? 4);
const repeats = Number(process.argv[4] ?? 10);

const pictures = input('pictures', [1, 3, INCEPTION_SIZE, INCEPTION_SIZE]);
const cost = convolutionCost(applyLayers(INCEPTION_LAYERS, pictures));
const device = openCpu();
const reference = await compileMatrixSpeed(device);
const inception = await createInception(device, {
  convolution: async (layer) => ({
    weight: formulaTensor(`${layer.name}.conv.weight`, weightShape(layer)),
    bias: zeros('float32', [layer.outputs]),
  }),
  classifier: async () => formulaTensor('fc.weight', [1008, 2048]),
});
const shape = [batch, size, size, 3];
const images = tensor(
  'uint8',
  shape,
  Uint8Array.from({ length: elementCount(shape) }, (_, i) => i % 251),
);
console.log(
  `${size} x ${size}, ${(cost / 1e9).toFixed(2)} GMACs per image, ${batch} at once, ${device.threads} threads`,
);
await inception.extract(images, 'adm');
const preparing = await time(async () => preprocess(images, 'adm'));
console.log(`preparing one image: ${(preparing / batch).toFixed(1)} ms`);
const comparison = await compareWithProduct(reference, () => inception.extract(images, 'adm'), {
  operations: 2 * cost * batch,
  repeats,
  products: 6,
});
console.log(`${batch} images: ${describeComparison(comparison)}`);
console.log(`${((1000 * batch) / comparison.milliseconds).toFixed(1)} images/s`);
console.log(`peak memory ${(process.resourceUsage().maxRSS / 1024).toFixed(0)} MB`);
await device.dispose();
