/** @file Blocks as pixels. */

import { rgbaFromImage } from '../../../src/browser/pixels.ts';
import type { AcditConfig } from '../../../src/models/acdit/config.ts';
import { blockLength, blockMaps, imagesOf } from './values.ts';

/** One frame: red, green, blue and alpha of each pixel. */
export interface Frame {
  readonly width: number;
  readonly height: number;
  readonly data: Uint8ClampedArray<ArrayBuffer>;
}

/** All frames; where a block is missing they are transparent. */
export function paintFrames(
  config: AcditConfig,
  blocks: readonly (Float32Array | undefined)[],
  live?: { readonly block: number; readonly values: Float32Array },
): Frame[] {
  const length = blockLength(config);
  const values = new Float32Array(config.blocks * length);
  const there = blocks.map((block, index) => block ?? (live?.block === index ? live.values : undefined));
  for (const [index, block] of there.entries()) if (block) values.set(block, index * length);
  const maps = blockMaps(config);
  return imagesOf(config, values).map((image, frame) => {
    const data = rgbaFromImage(image);
    maps[frame].forEach((block, pixel) => {
      if (!there[block]) data[4 * pixel + 3] = 0;
    });
    return { width: image.width, height: image.height, data };
  });
}

/** Every pixel as a square, so that small pictures can be seen. */
export function enlarged({ width, height, data }: Frame, factor: number): Frame {
  const out = new Uint8ClampedArray(data.length * factor ** 2);
  for (let y = 0; y < height * factor; y++) {
    for (let x = 0; x < width * factor; x++) {
      const from = 4 * (Math.floor(y / factor) * width + Math.floor(x / factor));
      out.set(data.subarray(from, from + 4), 4 * (y * width * factor + x));
    }
  }
  return { width: width * factor, height: height * factor, data: out };
}

export function drawFrame(canvas: HTMLCanvasElement, { width, height, data }: Frame): void {
  if (canvas.width !== width) canvas.width = width;
  if (canvas.height !== height) canvas.height = height;
  canvas.getContext('2d')?.putImageData(new ImageData(data, width, height), 0, 0);
}
