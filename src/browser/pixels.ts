/** @file Pixels as canvases take them, and PNG files of them, made by the browser. */

import { uint8At } from '../at.ts';
import type { Image } from '../media/pixels.ts';

/** What is used of a canvas that no page shows. */
interface Canvas {
  getContext(kind: '2d'): {
    createImageData(width: number, height: number): { readonly data: Uint8ClampedArray };
    putImageData(pixels: unknown, x: number, y: number): void;
  };
  convertToBlob(options: { type: string }): Promise<Blob>;
}

/** Red, green, blue and alpha of each pixel, row by row. */
export function rgbaFromImage({ width, height, channels, data }: Image): Uint8ClampedArray<ArrayBuffer> {
  const out = new Uint8ClampedArray(width * height * 4);
  for (let i = 0; i < width * height; i++) {
    for (let c = 0; c < 3; c++) out[4 * i + c] = uint8At(data, i * channels + (channels === 3 ? c : 0));
    out[4 * i + 3] = 255;
  }
  return out;
}

/** A PNG file of pixels as {@link rgbaFromImage} gives them. */
export function encodePng(width: number, height: number, rgba: Uint8ClampedArray): Promise<Blob> {
  const { OffscreenCanvas } = globalThis as unknown as {
    OffscreenCanvas: new (width: number, height: number) => Canvas;
  };
  const canvas = new OffscreenCanvas(width, height);
  const context = canvas.getContext('2d');
  const pixels = context.createImageData(width, height);
  pixels.data.set(rgba);
  context.putImageData(pixels, 0, 0);
  return canvas.convertToBlob({ type: 'image/png' });
}
