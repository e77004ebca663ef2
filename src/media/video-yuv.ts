/** @file RGB to the YUV of video: a plane of luma, and two planes of colour at half the width and height. */

import { uint8At } from '../at.ts';
import { type Image, withChannels } from './pixels.ts';

/**
 * An image as planar YUV 4:2:0 of BT.601, 8 bits, limited range (luma 16 to 235): luma (H, W), then the blue and the
 * red difference (H/2, W/2) each, averages of 2 x 2 pixels. An odd last row or column is repeated to make both sides
 * even. Source: ITU-R BT.601-7, section 2.5.
 */
export function yuv420(image: Image): { width: number; height: number; data: Uint8Array } {
  const { data: rgb } = withChannels(image, 3);
  const width = image.width + (image.width % 2);
  const height = image.height + (image.height % 2);
  const data = new Uint8Array((width * height * 3) / 2);
  const blueStart = width * height;
  const redStart = blueStart + (width * height) / 4;
  for (let y = 0; y < height; y += 2) {
    for (let x = 0; x < width; x += 2) {
      let [r, g, b] = [0, 0, 0];
      for (let i = 0; i < 4; i++) {
        const [row, column] = [y + (i >> 1), x + (i & 1)];
        const at = 3 * (Math.min(row, image.height - 1) * image.width + Math.min(column, image.width - 1));
        const [red, green, blue] = [uint8At(rgb, at), uint8At(rgb, at + 1), uint8At(rgb, at + 2)];
        data[row * width + column] = luma(red, green, blue);
        r += red / 4;
        g += green / 4;
        b += blue / 4;
      }
      const colour = (y / 2) * (width / 2) + x / 2;
      data[blueStart + colour] = Math.round(128 + (-37.797 * r - 74.203 * g + 112 * b) / 255);
      data[redStart + colour] = Math.round(128 + (112 * r - 93.786 * g - 18.214 * b) / 255);
    }
  }
  return { width, height, data };
}

function luma(r: number, g: number, b: number): number {
  return Math.round(16 + (65.481 * r + 128.553 * g + 24.966 * b) / 255);
}
