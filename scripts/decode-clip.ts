/**
 * @file Decodes a video of 16 frames of 256 x 256 with an autoencoder of Stable Diffusion's size and formula weights, as
 * `acdit sample` does. A separate program, so that its peak memory can be measured. Usage: npx tsx scripts/decode-clip.ts
 */

import { paperConfig } from '../src/models/acdit/config.ts';
import { createAutoencoder } from '../src/models/autoencoder/autoencoder.ts';
import { autoencoderParameters } from '../src/models/autoencoder/stages.ts';
import { openCpu } from '../src/runtime/node.ts';
import { latentsToImages } from '../src/sampling/latents-to-images.ts';
import { Generator } from '../src/tensor/generator.ts';
import { elementCount, float32 } from '../src/tensor/tensor.ts';
import { formulaTensor, stableDiffusionAutoencoder } from '../test/support/formula-weights.ts';

const model = paperConfig('B', 'video');
const shapes = autoencoderParameters(stableDiffusionAutoencoder, ['decoder']);
const device = openCpu();
const autoencoder = await createAutoencoder({
  config: stableDiffusionAutoencoder,
  device,
  parts: ['decoder'],
  weights: async (name) => formulaTensor(name, shapes.get(name)!),
});
const shape = [1, model.blocks, model.blockSize, model.channels * model.patch ** 2];
const latents = float32(shape, new Generator(0).randn(elementCount(shape)));
const pictures = await latentsToImages(autoencoder, model, latents);
console.log(JSON.stringify({ shape: pictures.shape, finite: pictures.data.every(Number.isFinite) }));
await device.dispose();
