/** @file Blocks as pixels. */

import { rgbaFromImage } from '../../../src/browser/pixels.ts';
import type { AcditConfig } from '../../../src/models/acdit/config.ts';
import type { Decoded } from './decoded.ts';
import { blockLength, blockMaps, imagesOf } from './values.ts';

/** One frame: red, green, blue and alpha of each pixel. */
export interface Frame {
  readonly width: number;
  readonly height: number;
  readonly data: Uint8ClampedArray<ArrayBuffer>;
}

/** All frames; where a block is missing they are transparent. Latents are shown decoded as far as they are. */
export function paintFrames(
  config: AcditConfig,
  blocks: readonly (Float32Array | undefined)[],
  live?: { readonly block: number; readonly values: Float32Array },
  decoded?: Decoded,
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
    const painted = { width: image.width, height: image.height, data };
    const isDecoded = (block: number): boolean =>
      decoded !== undefined && block < decoded.blocks && blocks[block] !== undefined;
    return decoded ? overlay(painted, decoded, frame, (pixel) => isDecoded(maps[frame][pixel])) : painted;
  });
}

/** Latents enlarged to the size of decoded pictures, which replace them where `shows` holds. */
function overlay(
  latents: Frame,
  { frames }: Decoded,
  index: number,
  shows: (latent: number) => boolean,
): Frame {
  const factor = frames[0].width / latents.width;
  const out = enlarged(latents, factor);
  const picture = frames[index];
  if (!picture) return out;
  for (let pixel = 0; pixel < out.width * out.height; pixel++) {
    const [x, y] = [pixel % out.width, Math.floor(pixel / out.width)];
    if (!shows(Math.floor(y / factor) * latents.width + Math.floor(x / factor))) continue;
    out.data.set(picture.data.subarray(4 * pixel, 4 * pixel + 4), 4 * pixel);
  }
  return out;
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
