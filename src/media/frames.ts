/** @file From tensors of pictures to images. */

import { at, take } from '../at.ts';
import type { Tensor } from '../tensor/tensor.ts';
import { type Image, imageFromSamples, withChannels } from './pixels.ts';

/** Pictures (N, frames, C, H, W) in [-1, 1] as images: each sample's frames. */
export function framesOf({ shape, data }: Tensor<'float32'>): Image[][] {
  const [samples, frames, channels, height, width] = take(shape, 5);
  const size = channels * height * width;
  const frame = (index: number): Image =>
    imageFromSamples(data.subarray(index * size, (index + 1) * size), [channels, height, width]);
  return Array.from({ length: samples }, (_, n) =>
    Array.from({ length: frames }, (_, t) => frame(n * frames + t)),
  );
}

/**
 * Pictures (N, frames, C, H, W) in [-1, 1] as the bytes of (N, frames, H, W, 3): RGB, grey ones as three equal channels,
 * which is what evaluators read. Rounded as {@link imageFromSamples} does, so that a PNG of the same sample has the same
 * values; this is DiT's formula, 127.5 x + 128 clamped and truncated, where ADM's own sampler has (x + 1) 127.5, half a
 * grey level less.
 */
export function rgbBytes(pictures: Tensor<'float32'>): Uint8Array {
  const images = framesOf(pictures).flat();
  const { width, height } = at(images, 0);
  const size = 3 * width * height;
  const out = new Uint8Array(images.length * size);
  for (const [i, image] of images.entries()) out.set(withChannels(image, 3).data, i * size);
  return out;
}
