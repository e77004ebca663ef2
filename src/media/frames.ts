/** @file From tensors of pictures to images. */

import type { Tensor } from '../tensor/tensor.ts';
import { type Image, imageFromSamples } from './pixels.ts';

/** Pictures (N, frames, C, H, W) in [-1, 1] as images: each sample's frames. */
export function framesOf({ shape, data }: Tensor<'float32'>): Image[][] {
  const [samples, frames, channels, height, width] = shape;
  const size = channels * height * width;
  const frame = (index: number): Image =>
    imageFromSamples(data.subarray(index * size, (index + 1) * size), [channels, height, width]);
  return Array.from({ length: samples }, (_, n) =>
    Array.from({ length: frames }, (_, t) => frame(n * frames + t)),
  );
}
