/** @file One image of the page, and what it is read from, drawn on and stored as. */

import { encodePng, rgbaFromImage } from '../../../src/browser/pixels.ts';
import type { Image } from '../../../src/media/pixels.ts';

/** One frame: red, green, blue and alpha of each pixel. */
export interface Frame {
  readonly width: number;
  readonly height: number;
  readonly data: Uint8ClampedArray<ArrayBuffer>;
}

export function frameOf(image: Image): Frame {
  return { width: image.width, height: image.height, data: rgbaFromImage(image) };
}

/** Draws every pixel as a square, so that small images can be seen. */
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

/** Encodes frames as PNG files, without loss. */
export function packFrames(frames: readonly Frame[]): Promise<Blob[]> {
  return Promise.all(frames.map(({ width, height, data }) => encodePng(width, height, data)));
}

export function unpackFrames(files: readonly Blob[]): Promise<Frame[]> {
  return Promise.all(files.map(unpackFrame));
}

async function unpackFrame(file: Blob): Promise<Frame> {
  const bitmap = await createImageBitmap(file);
  const { width, height } = bitmap;
  const context = new OffscreenCanvas(width, height).getContext('2d');
  if (!context) throw new Error('the browser gives no canvas');
  context.drawImage(bitmap, 0, 0);
  bitmap.close();
  return { width, height, data: new Uint8ClampedArray(context.getImageData(0, 0, width, height).data) };
}
