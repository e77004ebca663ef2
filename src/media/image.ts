/**
 * @file Image files: written as PNG, WebP or JPEG, and read from any common format, as Pillow's
 * `Image.open(path).convert('RGB')` gives them, since models and references of evaluations were made with it: EXIF
 * orientation and colour profiles are not applied, and transparency is dropped. sharp does most formats; it is loaded on
 * first use, since that takes longer than most commands do.
 */

import { readFile, stat } from 'node:fs/promises';
import { dirname } from 'node:path';
import type { Sharp } from 'sharp';
import { uint8At } from '../at.ts';
import { messageOf } from '../attempt.ts';
import { FormatError } from '../errors.ts';
import { makeFolders, writeFileAtomically } from '../io/atomic-write.ts';
import { openBmp } from './bmp.ts';
import { formatOf, IMAGE_EXTENSIONS } from './file-formats.ts';
import type { Channels, Image, ImageFile, ImageSize } from './pixels.ts';
import { openPnm } from './pnm.ts';

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
  const { width, height, decode } = await readable(name, 'image', () => {
    const open = openers.get(formatOf(bytes) ?? '');
    if (!open) throw new FormatError(problemOf(bytes));
    return open(bytes, options);
  });
  requireModest(name, { width, height }, options);
  return { width, height, decode: () => readable(name, 'image', decode) };
}

/** Runs what reads a file. @throws {FormatError} with the first line of what is wrong. */
export async function readable<T>(name: string, what: string, work: () => T | Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (cause) {
    const [reason] = messageOf(cause).split('\n');
    throw new FormatError(`${name}: not a readable ${what} (${reason})`, { cause });
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

type Open = (bytes: Uint8Array, options: ReadImageOptions) => ImageFile | Promise<ImageFile>;

const openers = new Map<string, Open>([
  ...['.jpg', '.png', '.webp', '.gif', '.tif', '.avif'].map((format) => [format, openBySharp] as const),
  ['.bmp', openBmp],
  ['.ppm', openPnm],
]);

async function openBySharp(
  bytes: Uint8Array,
  { exifOrientation = false }: ReadImageOptions,
): Promise<ImageFile> {
  const { default: sharp } = await import('sharp');
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
  const [as8Bits, as16Bits] = grey ? ['b-w', 'grey16'] : ['srgb', 'rgb16'];
  const isLong = depth === 'ushort';
  const { data, info } = await decoder
    .removeAlpha()
    .toColourspace(isLong ? as16Bits : as8Bits)
    .raw({ depth: isLong ? 'ushort' : 'uchar' })
    .toBuffer({ resolveWithObject: true });
  const { width, height, channels } = info;
  return { width, height, channels: channels as Channels, data: isLong ? highBytes(data) : data };
}

/** Colours that are converted to RGB: others are refused. */
const COLOUR_SPACES: ReadonlySet<string> = new Set(['srgb', 'rgb', 'rgb16', 'b-w', 'grey16', 'cmyk']);
/** Numbers of tags of TIFF files. */
const TIFF_TAG = { compression: 259, photometric: 262 } as const;
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

/**
 * Reads the first value of each tag of 16 bits of a TIFF file's first image; empty if this is not a classic TIFF file.
 * Source: TIFF 6.0, section 2.
 */
function tiffTags(bytes: Uint8Array): ReadonlyMap<number, number> {
  const [short, entryBytes] = [3, 12];
  const tags = new Map<number, number>();
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const little = bytes[0] === 0x49;
  if (bytes.length < 8 || view.getUint16(2, little) !== 42) return tags;
  const directory = view.getUint32(4, little);
  if (directory + 2 > bytes.length) return tags;
  const count = view.getUint16(directory, little);
  for (let i = 0; i < count; i++) {
    const entry = directory + 2 + entryBytes * i;
    if (entry + entryBytes > bytes.length) break;
    if (view.getUint16(entry + 2, little) !== short) continue;
    tags.set(view.getUint16(entry, little), view.getUint16(entry + 8, little));
  }
  return tags;
}

/** Returns the high bytes of values of 16 bits: little-endian, as all processors that sharp runs on. */
function highBytes(values: Uint8Array): Uint8Array {
  const high = new Uint8Array(values.length / 2);
  for (let i = 0; i < high.length; i++) high[i] = uint8At(values, 2 * i + 1);
  return high;
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

/** Formats of single images. */
export type ImageFormat = 'png' | 'webp' | 'jpeg';

/** The bytes of a PNG file. */
export async function encodePng(image: Image): Promise<Uint8Array> {
  return encodeImage(image, 'png');
}

/** The bytes of a file: PNG is without loss, WebP of quality 90, JPEG of quality 95 with all of its colour. */
export async function encodeImage(image: Image, format: ImageFormat): Promise<Uint8Array> {
  const { default: sharp } = await import('sharp');
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
