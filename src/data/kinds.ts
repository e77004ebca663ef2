/** @file The kinds of datasets, and which options belong to which. */

import { ConfigError } from '../errors.ts';

export const DATASET_KINDS = [
  'idx',
  'image-folder',
  'moving-idx',
  'video-folder',
  'ucf101',
  'latents',
] as const;

/** What a folder of data holds, as a recipe says it. */
export type DatasetKind = (typeof DATASET_KINDS)[number];

/** What is only asked of clips. */
export interface ClipOptions {
  /** Frames a clip: the data is videos, or pictures set in motion. */
  readonly frames?: number | undefined;
  /** Of videos: every how many-th frame is taken. Default 1. */
  readonly frameInterval?: number | undefined;
  /** Of UCF-101: which of its three pairs of lists. Default 1. */
  readonly fold?: number | undefined;
  /** Of moving items: how many a clip. Default 1. */
  readonly items?: number | undefined;
  /** Of moving items: pixels along their longer side. Default: as in the files. */
  readonly itemSize?: number | undefined;
  /** Of moving items: the slowest and the fastest, in pixels a frame. */
  readonly speed?: readonly [slowest: number, fastest: number] | undefined;
}

/** Options for files that are decoded. */
export interface FileOptions {
  /** Turn images upright by their EXIF orientation (default: false, pixels as they are stored). */
  readonly exifOrientation?: boolean | undefined;
  /** Max pixels of an image, or of a frame of a video (default: 100 million). */
  readonly maxPixels?: number | undefined;
}

const KINDS_WITH: Readonly<Record<keyof (ClipOptions & FileOptions), readonly DatasetKind[]>> = {
  frames: ['moving-idx', 'video-folder', 'ucf101', 'latents'],
  frameInterval: ['video-folder', 'ucf101', 'latents'],
  fold: ['ucf101'],
  items: ['moving-idx'],
  itemSize: ['moving-idx'],
  speed: ['moving-idx'],
  exifOrientation: ['image-folder'],
  maxPixels: ['image-folder', 'video-folder', 'ucf101'],
};

/** @throws {ConfigError} naming the first option that means nothing for data of this kind. */
export function requireOptionsOfKind(
  path: string,
  kind: DatasetKind,
  options: ClipOptions & FileOptions,
): void {
  for (const [key, kinds] of Object.entries(KINDS_WITH) as [keyof typeof KINDS_WITH, DatasetKind[]][]) {
    if (options[key] === undefined || kinds.includes(kind)) continue;
    throw new ConfigError(
      `${path}: ${key} is for data of kind ${kinds.join(', ')}, and this is ${kind}; leave it out or name the kind`,
    );
  }
}

/** The frames of a clip. @throws {ConfigError} if they are not given. */
export function requireFrames(path: string, { frames }: ClipOptions): number {
  if (frames !== undefined) return frames;
  throw new ConfigError(`${path}: frames is missing; say how many frames a clip has, such as 16`);
}
