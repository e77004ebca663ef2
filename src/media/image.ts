/**
 * @file Images as files: written as PNG, and read from any common format. sharp does the formats; it is loaded on first
 * use, because loading it takes longer than most commands do.
 */

import { readFile } from 'node:fs/promises';
import { dirname } from 'node:path';
import { FormatError } from '../errors.ts';
import { makeFolders, writeFileAtomically } from '../formats/atomic-write.ts';
import type { Channels, Image } from './pixels.ts';

export {
  blankImage,
  type Channels,
  enlarge,
  type GridOptions,
  grid,
  type Image,
  imageFromSamples,
  paste,
  samplesFromImage,
  withChannels,
} from './pixels.ts';

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

/**
 * Read an image file (JPEG, PNG, WebP, GIF, TIFF, AVIF) upright, as its EXIF data says. Grey files give one
 * channel, all others RGB; transparency is dropped; of several frames the first is taken.
 * @param source a path, or the bytes of a file.
 * @throws {FormatError} if the file is damaged, cut short or no image.
 */
export async function readImage(source: string | Uint8Array): Promise<Image> {
  const sharp = await loadSharp();
  const name = typeof source === 'string' ? source : 'image';
  // Reading the file here keeps "no such file" apart from "no image".
  const bytes = typeof source === 'string' ? await readFile(source) : source;
  try {
    const decoder = sharp(bytes, { failOn: 'error' });
    const { space, format } = await decoder.metadata();
    if (format === 'svg') throw new Error('SVG is a drawing');
    const grey = space === 'b-w' || space === 'grey16';
    const { data, info } = await decoder
      .autoOrient()
      .removeAlpha()
      .toColourspace(grey ? 'b-w' : 'srgb')
      .raw({ depth: 'uchar' })
      .toBuffer({ resolveWithObject: true });
    return { width: info.width, height: info.height, channels: info.channels as Channels, data };
  } catch (error) {
    const reason = error instanceof Error ? error.message.split('\n')[0] : String(error);
    throw new FormatError(`${name}: no readable image (${reason})`, { cause: error });
  }
}

/** sharp, loaded on first use. */
export async function loadSharp() {
  return (await import('sharp')).default;
}
