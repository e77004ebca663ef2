/**
 * @file Datasets of one folder a class, any common image format, at any depth below: the layout of ImageNet and of
 * torchvision's `ImageFolder`. Images are decoded when asked for.
 */

import { createHash } from 'node:crypto';
import { readdir, realpath, stat } from 'node:fs/promises';
import { extname, join, relative, sep } from 'node:path';
import { DatasetError } from '../../errors.ts';
import { readImage, samplesFromImage, withChannels } from '../../media/image.ts';
import { centerCrop } from '../../media/resize.ts';
import type { ImageDataset, Sample } from './dataset.ts';

export interface ImageFolderOptions {
  /** Side of the square that ADM's centre crop makes of each image. */
  readonly imageSize: number;
  /** Grey or RGB; default 3. */
  readonly channels?: 1 | 3 | undefined;
  /** Default: the names of the folders. */
  readonly classNames?: readonly string[] | undefined;
  /** Share of corrupt images, of those read so far but at least 40, above which reading fails; default 0.05. */
  readonly maximumCorruptShare?: number;
  /** Told once of each corrupt image. */
  readonly warn?: (message: string) => void;
}

const EXTENSIONS = new Set(['.jpg', '.jpeg', '.png', '.webp', '.gif', '.tif', '.tiff', '.avif']);

/** The share of corrupt images is taken of at least this many, so that two early ones do not stop a training. */
const MINIMUM_READS = 40;

interface ImageFile {
  readonly path: string;
  readonly label: number;
}

/** What is known of a file. */
const UNREAD = 0;
const GOOD = 1;
const CORRUPT = 2;

/**
 * List the images of a folder of class folders. Classes are the folders in order of their names.
 * @throws {DatasetError} if there are no class folders, one has no image, or the folder cannot be read.
 */
export async function openImageFolder(path: string, options: ImageFolderOptions): Promise<ImageDataset> {
  const { imageSize, channels = 3 } = options;
  const folders = await classFolders(path);
  const files: ImageFile[] = [];
  for (const [label, folder] of folders.entries()) {
    const found = await imagesBelow(join(path, folder));
    if (found.length === 0) {
      throw new DatasetError(
        `${join(path, folder)}: class folder without images; add some or remove the folder`,
      );
    }
    files.push(...found.map((file) => ({ path: file, label })));
  }
  const classNames = options.classNames ?? folders;
  if (classNames.length !== folders.length) {
    throw new DatasetError(
      `${path}: has ${folders.length} class folders, got ${classNames.length} classNames`,
    );
  }
  const ledger = new Ledger(path, files.length, options);
  return {
    name: path,
    size: files.length,
    sampleShape: [1, channels, imageSize, imageSize],
    classNames,
    get corruptCount() {
      return ledger.corrupt;
    },
    fingerprint: () => fingerprintOf(path, files),
    async read(index) {
      if (ledger.isCorrupt(index)) return undefined;
      try {
        const sample = await readSample(files[index], imageSize, channels);
        ledger.markGood(index);
        return sample;
      } catch (error) {
        ledger.markCorrupt(index, files[index].path, error as Error);
        return undefined;
      }
    },
  };
}

/** Files whose lengths are asked for at once. */
const STATS_AT_ONCE = 256;

/** Of names and lengths: reading every byte would take as long as encoding reads. */
async function fingerprintOf(root: string, files: readonly ImageFile[]): Promise<string> {
  const hash = createHash('sha256');
  for (let i = 0; i < files.length; i += STATS_AT_ONCE) {
    const lines = files.slice(i, i + STATS_AT_ONCE).map(async ({ path, label }) => {
      const length = await stat(path).then(
        ({ size }) => size,
        () => 'missing',
      );
      return `${label} ${length} ${relative(root, path).split(sep).join('/')}\n`;
    });
    hash.update((await Promise.all(lines)).join(''));
  }
  return hash.digest('hex').slice(0, 16);
}

/** Keeps count of the corrupt files and says when they are too many. */
class Ledger {
  corrupt = 0;
  #read = 0;
  readonly #name: string;
  readonly #state: Uint8Array;
  readonly #limit: number;
  readonly #warn: (message: string) => void;

  constructor(name: string, size: number, options: ImageFolderOptions) {
    this.#name = name;
    this.#state = new Uint8Array(size);
    this.#limit = options.maximumCorruptShare ?? 0.05;
    this.#warn = options.warn ?? (() => {});
  }

  isCorrupt(index: number): boolean {
    return this.#state[index] === CORRUPT;
  }

  markGood(index: number): void {
    if (this.#state[index] === UNREAD) this.#read++;
    this.#state[index] = GOOD;
  }

  markCorrupt(index: number, file: string, reason: Error): void {
    if (this.#state[index] === CORRUPT) return;
    if (this.#state[index] === UNREAD) this.#read++;
    this.#state[index] = CORRUPT;
    this.corrupt++;
    this.#warn(`skipped ${reason.message.startsWith(file) ? '' : `${file}: `}${reason.message}`);
    if (this.corrupt > this.#limit * Math.max(this.#read, MINIMUM_READS)) {
      throw new DatasetError(
        `${this.#name}: ${this.corrupt} of the ${this.#read} images read so far are corrupt, ` +
          `at most ${this.#limit * 100}% may be (last: ${file}); repair or remove them`,
      );
    }
  }
}

async function readSample({ path, label }: ImageFile, size: number, channels: 1 | 3): Promise<Sample> {
  const image = withChannels(await readImage(path), channels);
  return { values: samplesFromImage(centerCrop(image, size)), label };
}

async function classFolders(path: string): Promise<string[]> {
  const names = await listFolder(path);
  const folders: string[] = [];
  for (const name of names) if (await isFolder(join(path, name))) folders.push(name);
  if (folders.length > 0) return folders;
  throw new DatasetError(
    names.length === 0
      ? `${path}: is empty; expected one folder of images a class`
      : `${path}: has no folders; expected one folder of images a class`,
  );
}

/** All image files at any depth, sorted, links followed but no folder entered twice. */
async function imagesBelow(folder: string, seen = new Set<string>()): Promise<string[]> {
  const real = await realpath(folder);
  if (seen.has(real)) return [];
  seen.add(real);
  const files: string[] = [];
  for (const name of await listFolder(folder)) {
    const path = join(folder, name);
    if (EXTENSIONS.has(extname(name).toLowerCase())) files.push(path);
    else if (await isFolder(path)) files.push(...(await imagesBelow(path, seen)));
  }
  return files;
}

/** Whether a path leads to a folder; a broken link leads nowhere. */
async function isFolder(path: string): Promise<boolean> {
  const stats = await stat(path).catch(() => undefined);
  return stats?.isDirectory() ?? false;
}

/** Sorted names, without hidden ones (macOS leaves `._x.jpg` files that are no images). */
async function listFolder(path: string): Promise<string[]> {
  try {
    return (await readdir(path)).filter((name) => !name.startsWith('.')).sort();
  } catch (error) {
    throw new DatasetError(`${path}: cannot be read as a folder (${(error as Error).message})`, {
      cause: error,
    });
  }
}
