/** @file Recognises images and videos: by their extensions or, if a name has none, by how the file begins. */

import { type FileHandle, open } from 'node:fs/promises';
import { extname } from 'node:path';
import { closingAfter } from '../io/byte-source.ts';

const extensions = (names: string): ReadonlySet<string> =>
  new Set(names.split(' ').map((name) => `.${name}`));

/** Extensions of the images that {@link readImage} reads. */
export const IMAGE_EXTENSIONS = extensions(
  'jpg jpeg jpe jfif png webp gif tif tiff avif bmp ppm pgm pbm pnm',
);

/** Extensions of the videos that {@link readFrames} reads, animations included. */
export const VIDEO_EXTENSIONS = extensions(
  'mp4 m4v mov webm mkv avi mpg mpeg 3gp flv wmv ogv mts m2ts gif webp',
);

/** Extensions of images in formats that are not read. */
const OTHER_IMAGES = extensions('heic heif hif jxl jp2 j2k psd svg exr hdr tga ico dng cr2 nef arw raw');

/** How files begin, by the extension that is usual for them. `?` is any byte. */
const BEGINNINGS: readonly (readonly [extension: string, starts: readonly string[]])[] = [
  ['.jpg', ['\xff\xd8\xff']],
  ['.png', ['\x89PNG\r\n\x1a\n']],
  ['.gif', ['GIF87a', 'GIF89a']],
  ['.webp', ['RIFF????WEBP']],
  ['.avi', ['RIFF????AVI ']],
  ['.tif', ['II*\0', 'MM\0*', 'II+\0', 'MM\0+']],
  // After 12 bytes, the length of a header of one of its versions.
  [
    '.bmp',
    ['\x0c', '\x28', '\x34', '\x38', '\x40', '\x6c', '\x7c'].map((length) => `BM????????????${length}\0\0\0`),
  ],
  [
    '.ppm',
    ['P1', 'P2', 'P3', 'P4', 'P5', 'P6'].flatMap((kind) => [' ', '\t', '\n', '\r'].map((end) => kind + end)),
  ],
  ['.avif', ['????ftypavif', '????ftypavis']],
  ['.heic', ['????ftyphe', '????ftypmif1', '????ftypmsf1']],
  ['.mp4', ['????ftyp']],
  ['.mkv', ['\x1a\x45\xdf\xa3']],
  ['.jxl', ['\xff\x0a', '\0\0\0\x0cJXL ']],
];

/** Bytes of a file that are enough to recognise its format. */
const BEGINNING_BYTES = 32;

/**
 * Returns the usual extension of files that begin like this, such as `.jpg`; `undefined` if the format is unknown.
 * PBM and PGM files are called `.ppm` too.
 */
export function formatOf(start: Uint8Array): string | undefined {
  const text = String.fromCharCode(...start.subarray(0, BEGINNING_BYTES));
  return BEGINNINGS.find(([, starts]) => starts.some((beginning) => beginsWith(text, beginning)))?.[0];
}

function beginsWith(text: string, start: string): boolean {
  return text.length >= start.length && [...start].every((letter, i) => letter === '?' || letter === text[i]);
}

/** Returns a name's extension in lower case, with its dot; empty if it has none. */
export function extensionOf(path: string): string {
  return extname(path).toLowerCase();
}

/**
 * Returns the extension by which a file is treated: its own, or the usual one for its content if it has none or an
 * unusual one. Raw camera photos are not mistaken for the TIFF files that they resemble.
 */
export async function usualExtension(path: string): Promise<string> {
  const extension = extensionOf(path);
  if (isImageExtension(extension) || VIDEO_EXTENSIONS.has(extension)) return extension;
  const found = formatOf((await beginningOf(path, BEGINNING_BYTES)) ?? new Uint8Array());
  return found === undefined || (found === '.tif' && extension !== '') ? extension : found;
}

/** Checks whether an extension is one of images, in any format. */
export function isImageExtension(extension: string): boolean {
  return IMAGE_EXTENSIONS.has(extension) || OTHER_IMAGES.has(extension);
}

/** Returns at most `length` bytes of a file; undefined if it cannot be read, such as a folder. */
export async function beginningOf(path: string, length: number): Promise<Buffer | undefined> {
  const read = async (file: FileHandle): Promise<Buffer> => {
    const { buffer, bytesRead } = await file.read(Buffer.alloc(length), 0, length, 0);
    return buffer.subarray(0, bytesRead);
  };
  return open(path)
    .then((file) => closingAfter(file, read))
    .catch(() => undefined);
}
