/** @file An image of noise that other programs can make too, for goldens. */

import { blankImage, type Image } from '../../src/media/image.ts';

/** The image whose bytes are bits 16 to 23 of a linear congruential generator started at 12345. */
export function noiseImage(width: number, height: number, channels: 1 | 3): Image {
  const image = blankImage(width, height, channels);
  let state = 12345;
  image.data.forEach((_, i) => {
    state = (Math.imul(state, 1103515245) + 12345) & 0x7fffffff;
    image.data[i] = (state >> 16) & 255;
  });
  return image;
}
