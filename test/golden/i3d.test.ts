/** @file I3D against PyTorch's own operators, on the formula weights of a full-size network (support/i3d-torch.py). */

import { fileURLToPath } from 'node:url';
import { afterAll, describe, expect, it } from 'vitest';
import { openNpz } from '../../src/formats/npz.ts';
import { openFile } from '../../src/io/file-source.ts';
import { createI3d, preprocessClips } from '../../src/models/i3d/i3d.ts';
import { openCpu } from '../../src/runtime/node.ts';
import { float32, type Tensor, tensor } from '../../src/tensor/tensor.ts';
import { relativeError } from '../support/golden.ts';
import { i3dFormula } from '../support/i3d-weights.ts';

const npz = await openNpz(
  await openFile(fileURLToPath(new URL('../fixtures/i3d/logits.npz', import.meta.url))),
);
const videos = (await npz.read('videos')) as Tensor<'uint8'>;
const device = openCpu();
afterAll(async () => {
  await device.dispose();
  await npz.close();
});

/** The first frames of the first videos. */
function firstFrames(count: number, frames: number): Tensor<'uint8'> {
  const [, length, ...size] = videos.shape;
  const videoSize = videos.data.length / videos.shape[0];
  const clipSize = (videoSize / length) * frames;
  const data = new Uint8Array(count * clipSize);
  for (let n = 0; n < count; n++) {
    data.set(videos.data.subarray(n * videoSize, n * videoSize + clipSize), n * clipSize);
  }
  return tensor('uint8', [count, frames, ...size], data);
}

describe('I3D on formula weights', () => {
  it.each([
    { frames: 9, epsilon: 1e-3, count: 2 },
    { frames: 17, epsilon: 1e-3, count: 1 },
    { frames: 16, epsilon: 1e-5, count: 1 },
  ])("gives PyTorch's logits of $frames frames, epsilon $epsilon", { timeout: 180_000 }, async (one) => {
    const { frames, epsilon, count } = one;
    const i3d = await createI3d({ device, frames, parameters: async (layer) => i3dFormula(layer, epsilon) });
    const logits = await i3d.logits(preprocessClips(firstFrames(count, frames), 'torch'));
    await i3d.dispose();
    const expected = await npz.read(`logits.${frames}.${epsilon === 1e-5 ? '1e-05' : epsilon}`);
    const first = float32([count, 400], (expected.data as Float32Array).subarray(0, count * 400));
    expect(relativeError(logits, first)).toBeLessThan(1e-4);
    if (count === 1) return;
    // Clips make little difference to the logits of such weights: that little must be right too.
    const difference = ({ data }: Tensor<'float32'>) =>
      data.slice(0, 400).map((value, i) => value - data[i + 400]);
    expect(relativeError({ data: difference(logits) }, { data: difference(first) })).toBeLessThan(1e-3);
  });
});
