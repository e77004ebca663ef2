/**
 * @file I3D features of clips, as a share of the machine's matrix-product speed.
 * Usage: npm run bench:i3d -- [frames] [clips at once] [repeats]
 * Only the multiply-adds of convolutions are counted.
 */

import { input } from '../src/graph/symbolic.ts';
import { createI3d, i3dLogits, preprocessClips } from '../src/models/i3d/i3d.ts';
import { openCpu } from '../src/runtime/node.ts';
import { elementCount, tensor } from '../src/tensor/tensor.ts';
import { i3dFormula } from '../test/support/i3d-weights.ts';
import { convolutionCost } from './convolution-cost.ts';
import { compareWithProduct, compileMatrixSpeed, describeComparison, time } from './matrix-speed.ts';

const frames = Number(process.argv[2] ?? 16);
const batch = Number(process.argv[3] ?? 4);
const repeats = Number(process.argv[4] ?? 5);

/** Multiply-adds of one clip. */
function multiplyAdds(): number {
  return convolutionCost(i3dLogits(input('clips', [1, 3, frames, 224, 224])));
}

const device = openCpu();
const reference = await compileMatrixSpeed(device);
const i3d = await createI3d({ device, frames, parameters: async (layer) => i3dFormula(layer, 1e-3) });
const shape = [batch, frames, 128, 128, 3];
const videos = tensor(
  'uint8',
  shape,
  Uint8Array.from({ length: elementCount(shape) }, (_, i) => i % 251),
);
const clips = preprocessClips(videos, 'tensorflow');
const giga = multiplyAdds() / 1e9;
console.log(
  `${frames} frames, ${giga.toFixed(1)} GMACs per clip, ${batch} at once, ${device.threads} threads`,
);
const preparing = await time(async () => preprocessClips(videos, 'tensorflow'));
console.log(`preparing one clip: ${(preparing / batch).toFixed(0)} ms`);
await i3d.logits(clips);
const comparison = await compareWithProduct(reference, () => i3d.logits(clips), {
  operations: 2e9 * giga * batch,
  repeats,
  products: 12,
});
console.log(`${batch} clips: ${describeComparison(comparison)}`);
console.log(`${((1000 * batch) / comparison.milliseconds).toFixed(2)} clips/s`);
console.log(`peak memory ${(process.resourceUsage().maxRSS / 1024).toFixed(0)} MB`);
await device.dispose();
