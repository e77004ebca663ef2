/** @file Images as files: written as PNG, WebP or JPEG, and read from any common format. sharp does the formats. */

import { dirname } from 'node:path';
import { makeFolders, writeFileAtomically } from '../io/atomic-write.ts';
import { loadSharp } from './load-sharp.ts';
import type { Image } from './pixels.ts';

export {
  blankImage,
  type Channels,
  enlarge,
  type GridOptions,
  grid,
  type Image,
  type ImageSize,
  imageFromSamples,
  paste,
  samplesFromImage,
  sideBySide,
  withChannels,
} from './pixels.ts';
export {
  MAXIMUM_PIXELS,
  openImage,
  type ReadImageOptions,
  readImage,
  requireModest,
} from './read-image.ts';

/** Formats of single pictures. */
export type ImageFormat = 'png' | 'webp' | 'jpeg';

/** The bytes of a PNG file. */
export async function encodePng(image: Image): Promise<Uint8Array> {
  return encodeImage(image, 'png');
}

/** The bytes of a file: PNG is without loss, WebP of quality 90, JPEG of quality 95 with all of its colour. */
export async function encodeImage(image: Image, format: ImageFormat): Promise<Uint8Array> {
  const sharp = await loadSharp();
  const { width, height, channels } = image;
  const raw = sharp(image.data, { raw: { width, height, channels } });
  const pixels = channels === 1 ? raw.toColourspace('b-w') : raw;
  if (format === 'webp') return pixels.webp({ quality: 90 }).toBuffer();
  if (format === 'jpeg') return pixels.jpeg({ quality: 95, chromaSubsampling: '4:4:4' }).toBuffer();
  return pixels.png().toBuffer();
}

/**
 * Write a PNG file, as a whole or not at all, making its folder if need be.
 * @throws {AcditError} if it cannot be written, as on a full disk.
 */
export async function writePng(path: string, image: Image): Promise<void> {
  const bytes = await encodePng(image);
  await makeFolders(dirname(path));
  await writeFileAtomically(path, (write) => write(bytes));
}
