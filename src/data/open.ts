/** @file Open a dataset of any kind by its path. */

import type { Stats } from 'node:fs';
import { stat } from 'node:fs/promises';
import { ConfigError, DatasetError } from '../errors.ts';
import { closingOnError } from '../io/byte-source.ts';
import { IMAGE_EXTENSIONS, VIDEO_EXTENSIONS } from '../media/file-formats.ts';
import { findClassLevel } from './class-level.ts';
import type { Dataset, ImageDataset, VideoDataset } from './dataset.ts';
import { partOf } from './hold-out.ts';
import { findIdxImages, loadIdxDataset } from './idx-dataset.ts';
import { openImageFolder } from './image-folder.ts';
import { type DatasetKind, type DatasetOptions, requireFrames, requireOptionsOfKind } from './kinds.ts';
import { hasIndex } from './latents/index-file.ts';
import { openLatents } from './latents/latents-dataset.ts';
import { movingItems } from './moving-items.ts';
import { findUcfLists, openUcf101 } from './videos/ucf101.ts';
import { openVideoFolder } from './videos/video-folder.ts';

/**
 * Open a dataset.
 * @throws {DatasetError} if it is missing, empty, unfinished or not of the kind it should be.
 * @throws {FormatError} if an IDX file or an index of latents is damaged.
 * @throws {ConfigError} if options do not fit the kind, or one that it needs is missing; or if nothing can be held out.
 */
export async function openDataset(options: DatasetOptions): Promise<Dataset> {
  const kind = await kindOf(options);
  requireOptionsOfKind(options.path, kind, options);
  // A clip of moving items has several images, so these are held out before they move.
  if (kind === 'moving-idx') return openMovingItems(options);
  const dataset = await openWhole({ ...options, kind });
  return closingOnError({ close: async () => dataset.close?.() }, async () => partOf(dataset, options));
}

async function openWhole({
  kind,
  ...options
}: DatasetOptions & { readonly kind: DatasetKind }): Promise<Dataset> {
  if (kind === 'latents') return openLatents(options.path, options);
  if (kind === 'video-folder' || kind === 'ucf101') return openVideos({ ...options, kind });
  return openImages({ ...options, kind });
}

/** Open a dataset of images, without holding any out; see {@link openDataset}. */
export async function openImages(options: DatasetOptions): Promise<ImageDataset> {
  const { path } = options;
  const kind = await kindOf(options);
  const stats = await requirePath(path);
  requireOptionsOfKind(path, kind, options);
  if (kind === 'idx') return loadIdxDataset(path, options);
  if (!stats.isDirectory()) {
    throw new DatasetError(`${path}: expected a folder with one folder of images per class, or IDX images`);
  }
  const imageSize = requireSize(options, 'say to what size its images shall be cropped');
  return openImageFolder(await classesFolder(options, 'images', IMAGE_EXTENSIONS), { ...options, imageSize });
}

/** Open a dataset of videos, without holding any out; see {@link openDataset}. */
export async function openVideos(options: DatasetOptions): Promise<VideoDataset> {
  const { path, channels = 3, frameInterval: interval = 1 } = options;
  if (!(await requirePath(path)).isDirectory()) {
    throw new DatasetError(`${path}: expected a folder with one folder of videos a class`);
  }
  const kind = options.kind ?? (await detectVideoKind(path));
  requireOptionsOfKind(path, kind, options);
  const size = requireSize(options, 'say to what size its frames shall be cropped');
  const settings = { ...options, channels, interval, size, frames: requireFrames(path, options) };
  if (kind === 'ucf101') return openUcf101(path, settings);
  return openVideoFolder(await classesFolder(options, 'videos', VIDEO_EXTENSIONS), settings);
}

async function openMovingItems(options: DatasetOptions): Promise<Dataset> {
  const { path } = options;
  const frames = requireFrames(path, options);
  const canvas = requireSize(options, 'say how large the canvas is that items move on, such as 64');
  await requirePath(path);
  const pictures = await loadIdxDataset(path, { ...options, imageSize: undefined });
  return movingItems(partOf(pictures, options), { ...options, frames, canvas });
}

function requireSize({ path, imageSize }: DatasetOptions, advice: string): number {
  if (imageSize !== undefined) return imageSize;
  throw new ConfigError(`${path}: imageSize is missing; ${advice}`);
}

async function requirePath(path: string): Promise<Stats> {
  const stats = await stat(path).catch(() => undefined);
  if (!stats) throw new DatasetError(`${path}: does not exist; give the folder of a dataset`);
  return stats;
}

/** Returns the folder with the class folders of the split, and reports what is not used. */
async function classesFolder(
  { path, split = 'train', classNames, warn }: DatasetOptions,
  unit: string,
  extensions: ReadonlySet<string>,
): Promise<string> {
  const { folder, notes } = await findClassLevel(path, { split, unit, extensions, classNames });
  for (const note of notes) warn?.(note);
  return folder;
}

async function kindOf({ path, kind, split = 'train', frames }: DatasetOptions): Promise<DatasetKind> {
  if (kind !== undefined) return kind;
  if (await hasIndex(path)) return 'latents';
  await requirePath(path);
  const isIdx = (await findIdxImages(path, split)).length > 0;
  if (frames === undefined) return isIdx ? 'idx' : 'image-folder';
  return isIdx ? 'moving-idx' : detectVideoKind(path);
}

async function detectVideoKind(path: string): Promise<'ucf101' | 'video-folder'> {
  return (await findUcfLists(path)) ? 'ucf101' : 'video-folder';
}
