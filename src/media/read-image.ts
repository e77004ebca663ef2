/**
 * @file Images read as Pillow's `Image.open(path).convert('RGB')` gives them, since models and references of evaluations
 * were made with it: EXIF orientation and colour profiles are not applied, and transparency is dropped.
 */

import { readFile, stat } from 'node:fs/promises';
import type { Sharp } from 'sharp';
import { uint8At } from '../at.ts';
import { FormatError } from '../errors.ts';
import { bmpSize, decodeBmp } from './bmp.ts';
import { formatOf, IMAGE_EXTENSIONS } from './file-formats.ts';
import { loadSharp } from './load-sharp.ts';
import type { Channels, Image, ImageSize } from './pixels.ts';
import { decodePnm, pnmSize } from './pnm.ts';
import { TIFF_TAG, tiffTags } from './tiff-tags.ts';

/** Default for the max pixels of an image or a frame of a video. In RGB they take 300 MB. */
export const MAXIMUM_PIXELS = 100_000_000;
/** Max bytes per pixel of a file: four channels of 16 bits. */
const BYTES_PER_PIXEL = 8;
/** Properties of an image file. */
const OTHER_BYTES = 16 * 2 ** 20;

/** Options for reading images. */
export interface ReadImageOptions {
  /**
   * Turn the image upright by its EXIF orientation. By default pixels are as they are stored, except that those of TIFF
   * files are turned, as Pillow does too.
   */
  readonly exifOrientation?: boolean | undefined;
  /** Max pixels of the image (default: {@link MAXIMUM_PIXELS}). */
  readonly maxPixels?: number | undefined;
}

/** An image file whose pixels are still to be decoded. */
export interface ImageFile extends ImageSize {
  /** @throws {FormatError} if the file is damaged or cut short. */
  decode(): Promise<Image>;
}

/**
 * Read an image file: JPEG, PNG, WebP, GIF, TIFF, AVIF, BMP, PPM, PGM or PBM, recognised by its content. Grey files give
 * one channel, all others RGB; transparency is dropped; the first of several frames is taken. The high byte of 16 bits is
 * taken. CMYK becomes RGB as in Pillow, without a colour profile.
 * @param source a path, or the bytes of a file.
 * @throws {FormatError} if the file is damaged, cut short, too large or not such an image.
 */
export async function readImage(source: string | Uint8Array, options: ReadImageOptions = {}): Promise<Image> {
  return (await openImage(source, options)).decode();
}

/** Read an image file as {@link readImage} does, but decode it later. Its size is that of the decoded image. */
export async function openImage(
  source: string | Uint8Array,
  options: ReadImageOptions = {},
): Promise<ImageFile> {
  const name = typeof source === 'string' ? source : 'image';
  // Reading the file here keeps "no such file" apart from "not an image".
  const bytes = typeof source === 'string' ? await readBounded(source, options) : source;
  const { width, height, decode } = await readable(name, () => {
    const open = openers.get(formatOf(bytes) ?? '');
    if (!open) throw new FormatError(problemOf(bytes));
    return open(bytes, options);
  });
  requireModest(name, { width, height }, options);
  return { width, height, decode: () => readable(name, decode) };
}

async function readable<T>(name: string, work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (error) {
    const reason = error instanceof Error ? error.message.split('\n')[0] : String(error);
    throw new FormatError(`${name}: not a readable image (${reason})`, { cause: error });
  }
}

/** @throws {FormatError} if an image, or a frame of a video, has too many pixels. */
export function requireModest(
  name: string,
  { width, height }: ImageSize,
  { maxPixels = MAXIMUM_PIXELS }: Pick<ReadImageOptions, 'maxPixels'>,
): void {
  if (width * height <= maxPixels) return;
  throw new FormatError(
    `${name}: is ${width} x ${height} pixels, more than the limit of ${maxPixels}; make it smaller, or raise the ` +
      'limit with --max-pixels',
  );
}

async function readBounded(path: string, { maxPixels = MAXIMUM_PIXELS }: ReadImageOptions) {
  const { size } = await stat(path);
  const most = BYTES_PER_PIXEL * maxPixels + OTHER_BYTES;
  if (size <= most) return readFile(path);
  throw new FormatError(`${path}: is ${size} bytes long, more than the limit of ${most} for an image`);
}

type Open = (bytes: Uint8Array, options: ReadImageOptions) => Promise<ImageFile>;

const openers: ReadonlyMap<string, Open> = new Map([
  ...['.jpg', '.png', '.webp', '.gif', '.tif', '.avif'].map((format) => [format, openBySharp] as const),
  ['.bmp', opener(bmpSize, decodeBmp)],
  ['.ppm', opener(pnmSize, decodePnm)],
]);

function opener(sizeOf: (bytes: Uint8Array) => ImageSize, decode: (bytes: Uint8Array) => Image): Open {
  return async (bytes) => ({ ...sizeOf(bytes), decode: async () => decode(bytes) });
}

async function openBySharp(
  bytes: Uint8Array,
  { exifOrientation = false }: ReadImageOptions,
): Promise<ImageFile> {
  const sharp = await loadSharp();
  const decoder = sharp(bytes, { failOn: 'error', ignoreIcc: true, limitInputPixels: false });
  const { space, depth, format, width, height, autoOrient } = await decoder.metadata();
  requireColours(bytes, space, depth);
  const isTurned = exifOrientation || format === 'tiff';
  return {
    ...(isTurned ? autoOrient : { width, height }),
    decode: () => decodePixels(isTurned ? decoder.autoOrient() : decoder, space, depth),
  };
}

async function decodePixels(decoder: Sharp, space: string, depth: string): Promise<Image> {
  if (space === 'cmyk') return fromCmyk(decoder);
  const grey = space === 'b-w' || space === 'grey16';
  const colours = decoder.removeAlpha();
  if (depth === 'ushort') return fromShorts(colours.toColourspace(grey ? 'grey16' : 'rgb16'));
  const { data, info } = await colours
    .toColourspace(grey ? 'b-w' : 'srgb')
    .raw({ depth: 'uchar' })
    .toBuffer({ resolveWithObject: true });
  return { width: info.width, height: info.height, channels: info.channels as Channels, data };
}

/** Colours that are converted to RGB: others are refused. */
const COLOUR_SPACES: ReadonlySet<string> = new Set(['srgb', 'rgb', 'rgb16', 'b-w', 'grey16', 'cmyk']);
const PHOTOMETRIC_YCBCR = 6;
const COMPRESSED_JPEG: ReadonlySet<number | undefined> = new Set([6, 7]);

/** @throws {FormatError} if values are not of 8 or 16 bits, or colours would be misread. */
function requireColours(bytes: Uint8Array, space: string, depth: string): void {
  if (depth !== 'uchar' && depth !== 'ushort') {
    throw new FormatError(
      `its values are of type ${depth}, whose black and white are unknown; convert it to 8 or 16 bits`,
    );
  }
  const tags = tiffTags(bytes);
  const isYcbcr =
    tags.get(TIFF_TAG.photometric) === PHOTOMETRIC_YCBCR &&
    !COMPRESSED_JPEG.has(tags.get(TIFF_TAG.compression));
  if (COLOUR_SPACES.has(space) && !isYcbcr) return;
  throw new FormatError(`its colours are ${isYcbcr ? 'YCbCr' : space}; convert it to RGB`);
}

/** Returns the high bytes of values of 16 bits. */
async function fromShorts(decoder: Sharp): Promise<Image> {
  const { data, info } = await decoder.raw({ depth: 'ushort' }).toBuffer({ resolveWithObject: true });
  const high = new Uint8Array(data.length / 2);
  for (let i = 0; i < high.length; i++) high[i] = uint8At(data, 2 * i + 1); // little-endian, as all processors that sharp runs on
  return { width: info.width, height: info.height, channels: info.channels as Channels, data: high };
}

/** Converts ink to RGB: (1 - ink) (1 - black), rounded as Pillow does. */
async function fromCmyk(decoder: Sharp): Promise<Image> {
  const { data: inks, info } = await decoder
    .pipelineColourspace('cmyk')
    .toColourspace('cmyk')
    .raw({ depth: 'uchar' })
    .toBuffer({ resolveWithObject: true });
  const { width, height, channels } = info; // 5 with transparency
  const data = new Uint8Array(3 * width * height);
  for (let i = 0, at = 0; i < data.length; i += 3, at += channels) {
    const light = 255 - uint8At(inks, at + 3);
    for (let c = 0; c < 3; c++) {
      const product = uint8At(inks, at + c) * light + 128;
      data[i + c] = Math.max(0, light - (((product >> 8) + product) >> 8));
    }
  }
  return { width, height, channels: 3, data };
}

/** Describes why a file cannot be read. */
function problemOf(bytes: Uint8Array): string {
  if (bytes.length === 0) return 'the file is empty';
  const format = formatOf(bytes);
  const known = [...IMAGE_EXTENSIONS].map((extension) => extension.slice(1)).join(', ');
  return `${format === undefined ? 'its content is of no known format' : `its content is ${format.slice(1)}`}; the supported formats are ${known}`;
}
