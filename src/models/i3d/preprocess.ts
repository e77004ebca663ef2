/** @file Clips of 8 bits as I3D wants them: 224 x 224, resized without a filter against aliasing, in [-1, 1]. */

import { take } from '../../at.ts';
import { ShapeError } from '../../errors.ts';
import { float32, type Tensor } from '../../tensor/tensor.ts';
import { type BilinearRules, planeResizer } from '../bilinear.ts';
import { I3D_SIZE } from './layers.ts';

/**
 * `tensorflow`: from the top left corner of each pixel, as TensorFlow 1 and so the original FVD resizes. `torch`: from
 * the middle of each pixel, as PyTorch and so the ports of it do. Frames of 224 x 224 are the same in both.
 */
export type ClipResizing = 'tensorflow' | 'torch';

export const CLIP_RESIZINGS = ['tensorflow', 'torch'] as const satisfies readonly ClipResizing[];

function rulesOf(resizing: ClipResizing): BilinearRules {
  return {
    size: I3D_SIZE,
    pixelPlace: resizing === 'torch' ? 'middle' : 'corner',
    before: (value) => value,
    after: (value) => Math.fround((2 * value) / 255) - 1,
  };
}

/**
 * Clips (N, T, H, W, 3) of any size of frames as the network takes them: (N, 3, T, 224, 224).
 * @throws {ShapeError} if they have another shape.
 */
export function preprocessClips({ shape, data }: Tensor<'uint8'>, resizing: ClipResizing): Tensor<'float32'> {
  if (shape.length !== 5 || shape[4] !== 3 || shape.slice(2, 4).some((side) => side < 1)) {
    throw new ShapeError(`preprocessClips: clips must have shape [N, T, H, W, 3], got [${shape}]`);
  }
  const [count, frames, height, width] = take(shape, 4);
  const resize = planeResizer(height, width, rulesOf(resizing));
  const [frameSize, plane] = [height * width * 3, I3D_SIZE ** 2];
  const out = new Float32Array(count * 3 * frames * plane);
  for (let n = 0; n < count; n++) {
    for (let t = 0; t < frames; t++) {
      const frame = data.subarray((n * frames + t) * frameSize, (n * frames + t + 1) * frameSize);
      for (let c = 0; c < 3; c++) {
        const start = ((n * 3 + c) * frames + t) * plane;
        resize(frame, c, out.subarray(start, start + plane));
      }
    }
  }
  return float32([count, 3, frames, I3D_SIZE, I3D_SIZE], out);
}
