/** @file Pixels as canvases take them, and PNG files of them, made by the browser. */

import { uint8At } from '../at.ts';
import { FormatError } from '../errors.ts';
import type { Image } from '../media/pixels.ts';

/** What is used of a canvas that no page shows. */
interface Canvas {
  getContext(kind: '2d'): {
    createImageData(width: number, height: number): { readonly data: Uint8ClampedArray };
    putImageData(pixels: unknown, x: number, y: number): void;
    drawImage(image: Bitmap, x: number, y: number): void;
    getImageData(x: number, y: number, width: number, height: number): { readonly data: Uint8ClampedArray };
  };
  convertToBlob(options: { type: string; quality?: number | undefined }): Promise<Blob>;
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

interface Bitmap {
  readonly width: number;
  readonly height: number;
}

/** What is used of a browser. */
const browser = globalThis as unknown as {
  readonly OffscreenCanvas: new (width: number, height: number) => Canvas;
  createImageBitmap(image: Blob, options: object): Promise<Bitmap>;
};

/** A PNG file of pixels as {@link rgbaFromImage} gives them. */
export function encodePng(width: number, height: number, rgba: Uint8ClampedArray): Promise<Blob> {
  return encodeCanvas(width, height, rgba, 'image/png');
}

/**
 * Returns a file of pixels as {@link rgbaFromImage} gives them; PNG if the browser cannot write the type.
 * @param quality of WebP and JPEG, 0 to 1 (default: the browser's own); Chromium writes WebP of 1 without loss
 */
export function encodeCanvas(
  width: number,
  height: number,
  rgba: Uint8ClampedArray,
  type: string,
  quality?: number,
): Promise<Blob> {
  const canvas = new browser.OffscreenCanvas(width, height);
  const context = canvas.getContext('2d');
  const pixels = context.createImageData(width, height);
  pixels.data.set(rgba);
  context.putImageData(pixels, 0, 0);
  return canvas.convertToBlob({ type, quality });
}

/** Reads an image file into RGB pixels, as they are stored. @throws {FormatError} if the browser cannot read it. */
export async function readPixels(file: Blob): Promise<Image> {
  const options = { colorSpaceConversion: 'none', premultiplyAlpha: 'none' };
  const bitmap = await browser.createImageBitmap(file, options).catch((cause) => {
    throw new FormatError('not an image that this browser reads', { cause });
  });
  const { width, height } = bitmap;
  const context = new browser.OffscreenCanvas(width, height).getContext('2d');
  context.drawImage(bitmap, 0, 0);
  const rgba = new Uint8Array(context.getImageData(0, 0, width, height).data.buffer);
  const data = new Uint8Array(3 * width * height);
  for (let i = 0; i < width * height; i++) {
    for (let c = 0; c < 3; c++) data[3 * i + c] = uint8At(rgba, 4 * i + c);
  }
  return { width, height, channels: 3, data };
}
