/** @file Open a dataset by its path, whatever its kind. */

import { stat } from 'node:fs/promises';
import { join } from 'node:path';
import { ConfigError, DatasetError } from '../../errors.ts';
import { hasIndex } from '../latents/index-file.ts';
import { openLatents } from '../latents/latents-dataset.ts';
import type { Dataset, ImageDataset } from './dataset.ts';
import { findIdxImages, loadIdxDataset, type Split } from './idx-dataset.ts';
import { openImageFolder } from './image-folder.ts';

export type DatasetKind = 'idx' | 'image-folder' | 'latents';

export interface DatasetOptions {
  /** A folder, or an IDX images file. */
  readonly path: string;
  /** Default: `latents` where there is their index.json, `idx` where there are IDX image files, else `image-folder`. */
  readonly kind?: DatasetKind | undefined;
  /** Default `train`. Of an image folder, the subfolder `train` or `test`, `val`, `validation`. */
  readonly split?: Split;
  /** Side of the images in pixels. Needed for image folders; IDX images have a size and may be padded to a larger one. */
  readonly imageSize?: number | undefined;
  /** Default: 1 for IDX, 3 for image folders. Not for latents. */
  readonly channels?: 1 | 3 | undefined;
  readonly classNames?: readonly string[] | undefined;
  /** See {@link openImageFolder}. */
  readonly maximumCorruptShare?: number;
  readonly warn?: (message: string) => void;
  /** Of latents: whether samples are mirrored at random. Pictures are mirrored as an {@link Augmentation}. */
  readonly flip?: boolean;
  /** Of pictures only, and here just to be refused for latents. */
  readonly crop?: number;
}

const splitFolderNames = { train: ['train'], test: ['test', 'val', 'validation'] } as const;

/**
 * Open a dataset.
 * @throws {DatasetError} if it is missing, empty, unfinished or not of the kind it should be.
 * @throws {FormatError} if an IDX file or an index of latents is damaged.
 * @throws {ConfigError} if options do not fit the kind, or an image folder is opened without `imageSize`.
 */
export async function openDataset(options: DatasetOptions): Promise<Dataset> {
  const { path, kind } = options;
  if (kind === 'latents' || (kind === undefined && (await hasIndex(path)))) return openLatents(path, options);
  return openImages(options);
}

/** Open a dataset of pictures; see {@link openDataset}. */
export async function openImages(options: DatasetOptions): Promise<ImageDataset> {
  const { path, split = 'train', imageSize } = options;
  const stats = await stat(path).catch(() => undefined);
  if (!stats) throw new DatasetError(`${path}: does not exist; give the folder of a dataset`);
  const kind = options.kind ?? (await detectKind(path, split));
  if (kind === 'idx') return loadIdxDataset(path, options);
  if (!stats.isDirectory()) {
    throw new DatasetError(`${path}: expected a folder with one folder of images a class, or IDX images`);
  }
  if (imageSize === undefined) {
    throw new ConfigError(`${path}: imageSize is missing; say to what size its images shall be cropped`);
  }
  return openImageFolder(await splitFolder(path, split), { ...options, imageSize });
}

/** The subfolder of a split; a folder without any is all training images. */
async function splitFolder(path: string, split: Split): Promise<string> {
  for (const name of splitFolderNames[split]) {
    const stats = await stat(join(path, name)).catch(() => undefined);
    if (stats?.isDirectory()) return join(path, name);
  }
  if (split === 'train') return path;
  throw new DatasetError(
    `${path}: has no test images; expected a subfolder ${splitFolderNames.test.join(', ')}`,
  );
}

async function detectKind(path: string, split: Split): Promise<'idx' | 'image-folder'> {
  return (await findIdxImages(path, split)).length > 0 ? 'idx' : 'image-folder';
}
