/** @file Datasets of the MNIST family: two IDX files, images and labels, kept in memory as bytes. */

import { createHash } from 'node:crypto';
import { readdir, readFile, stat } from 'node:fs/promises';
import { basename, dirname, join, resolve } from 'node:path';
import { take, uint8At } from '../at.ts';
import { DatasetError } from '../errors.ts';
import { compareCodePoints } from '../io/code-point-order.ts';
import type { Tensor } from '../tensor/tensor.ts';
import type { ImageDataset } from './dataset.ts';
import { parseIdx, unpackGzip } from './idx.ts';
import type { DatasetOptions, Split } from './kinds.ts';

const FASHION_CLASSES =
  'T-shirt/top, Trouser, Pullover, Dress, Coat, Sandal, Shirt, Sneaker, Bag, Ankle boot'.split(', ');

/** Value of the pixels around the image, in all of the MNIST family. */
const BACKGROUND = 0;

const imageFilePatterns = {
  train: /(^|[-_.])train-images[-.]idx3-ubyte(\.gz)?$/,
  test: /(^|[-_.])(t10k|test)-images[-.]idx3-ubyte(\.gz)?$/,
} as const;

/** Whether a file is named like one of IDX images. */
export function isIdxImages(path: string): boolean {
  return Object.values(imageFilePatterns).some((pattern) => pattern.test(basename(path)));
}

/**
 * The image files of a split in a folder, such as `train-images-idx3-ubyte.gz`; of a file and its .gz the file.
 * A path to such a file itself is returned alone.
 */
export async function findIdxImages(path: string, split: Split): Promise<string[]> {
  const stats = await stat(path).catch((cause) => {
    throw new DatasetError(`${path}: cannot be read (${cause.message})`, { cause });
  });
  if (stats.isFile()) return isIdxImages(path) ? [path] : [];
  const names = (await readdir(path))
    .filter((name) => imageFilePatterns[split].test(name))
    .sort(compareCodePoints);
  const unpacked = names.filter((name) => !name.endsWith('.gz') || !names.includes(name.slice(0, -3)));
  return unpacked.map((name) => join(path, name));
}

/**
 * Load one split of a dataset of IDX files.
 * @param path the folder of the files, or the images file.
 * @throws {DatasetError} if the files are missing, do not belong together or are not as requested.
 * @throws {FormatError} if a file is damaged.
 */
export async function loadIdxDataset(
  path: string,
  options: Omit<DatasetOptions, 'path'> = {},
): Promise<ImageDataset> {
  const { split = 'train', channels = 1 } = options;
  const imagesFile = onlyOne(await findIdxImages(path, split), path, split);
  const images = await readIdxImages(imagesFile);
  const [size, height, width] = take(images.shape, 3);
  const labels = await readIdxLabels(imagesFile, size);
  const [outHeight, outWidth] = paddedSides(imagesFile, height, width, options.imageSize);
  const classCount = labels.data.reduce((highest, label) => Math.max(highest, label), 0) + 1;
  const imageShape = [channels, outHeight, outWidth] as const;
  const pixelsOf = (index: number): Uint8Array =>
    images.data.subarray(index * height * width, (index + 1) * height * width);
  const top = Math.floor((outHeight - height) / 2);
  const left = Math.floor((outWidth - width) / 2);
  return {
    name: path,
    size,
    sampleShape: [1, ...imageShape],
    classNames: checkedClassNames(imagesFile, classCount, options.classNames),
    corruptCount: 0,
    async fingerprint() {
      return createHash('sha256').update(images.data).update(labels.data).digest('hex').slice(0, 16);
    },
    label: (index) => uint8At(labels.data, index),
    // Images have no names, so that equal ones are the same.
    key: (index) => createHash('sha256').update(pixelsOf(index)).digest('hex'),
    async read(index) {
      return {
        values: paddedValues(pixelsOf(index), width, imageShape, top, left),
        label: uint8At(labels.data, index),
      };
    },
  };
}

/** Bytes (H, W) as values in [-1, 1] of `shape` (C, H, W), at row `top` and column `left`. */
function paddedValues(
  pixels: Uint8Array,
  width: number,
  [channels, outHeight, outWidth]: readonly [number, number, number],
  top: number,
  left: number,
): Float32Array {
  const plane = outHeight * outWidth;
  const values = new Float32Array(channels * plane).fill(BACKGROUND / 127.5 - 1);
  for (let i = 0; i < pixels.length; i++) {
    values[(top + Math.floor(i / width)) * outWidth + left + (i % width)] = uint8At(pixels, i) / 127.5 - 1;
  }
  for (let c = 1; c < channels; c++) values.copyWithin(c * plane, 0, plane);
  return values;
}

function onlyOne(files: readonly string[], path: string, split: Split): string {
  const [file] = files;
  if (file !== undefined && files.length === 1) return file;
  const prefix = split === 'train' ? 'train' : 't10k';
  throw new DatasetError(
    files.length === 0
      ? `${path}: expected ${prefix}-images-idx3-ubyte or ${prefix}-images-idx3-ubyte.gz, found neither`
      : `${path}: holds several datasets; give the path of one: ${files.map((file) => basename(file)).join(', ')}`,
  );
}

/** The labels that go with an images file, packed or not. */
async function labelsFileOf(imagesFile: string): Promise<string> {
  const folder = dirname(imagesFile);
  const stem = basename(imagesFile).replace(/\.gz$/, '');
  const name = stem.replace(/images([-.])idx3/, 'labels$1idx1');
  const present = await readdir(folder);
  const found = [name, `${name}.gz`].find((candidate) => present.includes(candidate));
  if (!found) throw new DatasetError(`${folder}: holds ${basename(imagesFile)} but no ${name} or ${name}.gz`);
  return join(folder, found);
}

/**
 * Read a file of IDX images (N, H, W).
 * @throws {FormatError} if it is damaged; {DatasetError} if it holds something else, or no images.
 */
export async function readIdxImages(file: string): Promise<Tensor<'uint8'>> {
  const images = await readIdx(file, 3);
  if (images.data.length > 0) return images;
  throw new DatasetError(`${file}: expected at least one image, got shape [${images.shape}]`);
}

/**
 * Read the labels (N) that go with a file of `count` IDX images.
 * @throws {FormatError} if they are damaged; {DatasetError} if there are none, or not as many.
 */
export async function readIdxLabels(imagesFile: string, count: number): Promise<Tensor<'uint8'>> {
  const labels = await readIdx(await labelsFileOf(imagesFile), 1);
  if (labels.shape[0] === count) return labels;
  throw new DatasetError(
    `${imagesFile}: expected as many labels as images, got ${count} images and ${labels.shape[0]} labels`,
  );
}

async function readIdx(file: string, rank: number): Promise<Tensor<'uint8'>> {
  const parsed = parseIdx(await unpackGzip(await readFile(file), file), file);
  if (parsed.shape.length === rank) return parsed;
  throw new DatasetError(`${file}: expected ${rank} dimensions, got [${parsed.shape}]`);
}

function paddedSides(file: string, height: number, width: number, size: number | undefined) {
  if (size === undefined) return [height, width] as const;
  if (Number.isInteger(size) && size >= Math.max(height, width)) return [size, size] as const;
  throw new DatasetError(
    `${file}: images of ${height}x${width} can be padded to a larger imageSize, not made ${size}`,
  );
}

function checkedClassNames(file: string, count: number, given: readonly string[] | undefined) {
  const nearName = join(basename(dirname(resolve(file))), basename(file));
  const isFashion = /fashion/i.test(nearName) && count <= FASHION_CLASSES.length;
  const names = given ?? (isFashion ? FASHION_CLASSES : Array.from({ length: count }, (_, i) => String(i)));
  if (names.length >= count) return names;
  throw new DatasetError(
    `${file}: expected a name for each of ${count} classes, got ${names.length} classNames`,
  );
}
