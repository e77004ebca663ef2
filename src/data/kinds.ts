/** @file The kinds of datasets, and which options belong to which. */

import { ConfigError } from '../errors.ts';
import type { Channels, ReadImageOptions } from '../media/image.ts';
import type { CorruptFilesOptions } from './corrupt-files.ts';
import type { HoldOutOptions } from './hold-out.ts';
import type { ClipReader } from './videos/clip-reader.ts';

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

/** Which part of a dataset: of IDX files, `test` is the `t10k` files. */
export type Split = 'train' | 'test';

/** Options of clips only. */
export interface ClipOptions {
  /** Frames per clip: the data is videos, or images set in motion. */
  readonly frames?: number | undefined;
  /** For videos: the frame stride within the video (default: 1). */
  readonly frameInterval?: number | undefined;
  /** For UCF-101: which of its three pairs of lists (default: 1). */
  readonly fold?: number | undefined;
  /** For moving items: how many per clip (default: 1); the class is the first one's, the others are any. */
  readonly items?: number | undefined;
  /** For moving items: pixels along their longer side (default: as in the files). */
  readonly itemSize?: number | undefined;
  /** For moving items: the slowest and the fastest, in pixels per frame (default: 1/32 and 3/32 of the canvas). */
  readonly speed?: readonly [slowest: number, fastest: number] | undefined;
}

/** What to open, and how. {@link ReadImageOptions} hold for the frames of videos too. */
export interface DatasetOptions extends ClipOptions, ReadImageOptions, CorruptFilesOptions, HoldOutOptions {
  /** A folder, or an IDX images file. */
  readonly path: string;
  /**
   * Default: `latents` where there is their index.json, `idx` where there are IDX image files, else `image-folder`; and
   * if `frames` are asked for, `moving-idx` instead of `idx`, and of folders `ucf101` or `video-folder`.
   */
  readonly kind?: DatasetKind | undefined;
  /**
   * Split to read (default: `train`). Folders of images or videos may have one folder per split: `train`, and `test` or
   * `val`. Latents have none.
   */
  readonly split?: Split;
  /**
   * Side of the images or frames in pixels, to which ADM's centre crop brings them. IDX images are padded to it with
   * their background (default: as in the files). For latents, that of the images that were encoded; it may be left out.
   */
  readonly imageSize?: number | undefined;
  /** Default: 1 for IDX, where 3 repeats the grey value; 3 for folders. Not for latents. */
  readonly channels?: Channels | undefined;
  /**
   * Default: the names of the class folders, or those of a set of latents; of IDX files, the labels as numbers, or the
   * names of Fashion-MNIST if folder or file say "fashion".
   */
  readonly classNames?: readonly string[] | undefined;
  /** Reads clips of videos. Default: one in a process of its own. */
  readonly clipReader?: ClipReader | undefined;
  /** For latents: take those of the mirrored image half of the time. Images are mirrored as an {@link Augmentation}. */
  readonly flip?: boolean;
  /** For images only, and here just to be refused for latents. */
  readonly crop?: number;
}

type KindOptions = ClipOptions & ReadImageOptions;

const KINDS_WITH: Readonly<Record<keyof KindOptions, readonly DatasetKind[]>> = {
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
export function requireOptionsOfKind(path: string, kind: DatasetKind, options: KindOptions): void {
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
  throw new ConfigError(`${path}: frames is missing; give the number of frames per clip, such as 16`);
}
