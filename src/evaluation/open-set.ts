/** @file Sets of samples in any format, opened from paths. */

import { filesBelow, isFolder } from '../data/folder-files.ts';
import { isIdxImages } from '../data/idx-dataset.ts';
import { type Npz, openNpz } from '../formats/npz.ts';
import { closingOnError } from '../io/byte-source.ts';
import { openFile } from '../io/file-source.ts';
import { IMAGE_EXTENSIONS, usualExtension, VIDEO_EXTENSIONS } from '../media/file-formats.ts';
import { type EvaluationSet, readEvaluationSet } from './evaluation-set.ts';
import {
  type ImageFolderOptions,
  openImageFolder,
  openVideoFolder,
  type VideoFolderOptions,
} from './folder-source.ts';
import { openIdxSource } from './idx-source.ts';
import { IMAGES, openImageArray, openVideoArray, readHeader } from './npz-source.ts';
import type { SampleSource } from './sample-source.ts';

/** What is in a set: all that is to be compared, or samples whose features are still to be computed. */
export type SetContents =
  | { readonly kind: 'features'; readonly set: EvaluationSet }
  | {
      readonly kind: 'images';
      readonly images: SampleSource;
      /** Statistics that are stored next to the images, and may be those of more. */
      readonly stored: EvaluationSet | undefined;
    };

/** A set whose file is open. */
export type OpenedSet = SetContents & {
  /** Closes its file. */
  close(): Promise<void>;
};

/** What to do about videos. */
export interface VideoOptions extends Pick<VideoFolderOptions, 'protocol' | 'signal'> {
  /** Folders hold videos even if all that is in them is images: those are frames, or animations. */
  readonly always: boolean;
}

/** Options for opening a set. */
export interface OpenSetOptions extends ImageFolderOptions {
  /** Folders and arrays may hold videos too (default: only images). */
  readonly videos?: VideoOptions | undefined;
}

/**
 * Open a folder of images, an `.npz` file of features, statistics or images, or an IDX file of images. Of a file with
 * features its images do not matter.
 * @throws {FormatError} if it is none of these; {DatasetError} if the folder has no images.
 */
export async function openSet(path: string, options: OpenSetOptions = {}): Promise<OpenedSet> {
  if (await isFolder(path)) return samplesIn(await openFolder(path, options));
  if (isIdxImages(path)) return samplesIn(await openIdxSource(path));
  const npz = await openNpz(await openFile(path));
  return closingOnError(npz, async (): Promise<OpenedSet> => {
    const hasImages = npz.has(IMAGES) && !npz.has('features');
    const stored = !hasImages || npz.has('mu') ? await readEvaluationSet(npz, path) : undefined;
    if (hasImages) return samplesIn(await openArray(npz, path, options), stored);
    await npz.close();
    return { kind: 'features', set: stored!, close: async () => {} };
  });
}

function samplesIn(images: SampleSource, stored?: EvaluationSet): OpenedSet {
  return { kind: 'images', images, stored, close: () => images.close() };
}

async function openFolder(path: string, { videos, maxPixels, size }: OpenSetOptions): Promise<SampleSource> {
  if (videos && (videos.always || (await holdsVideos(path)))) {
    return openVideoFolder(path, { ...videos, maxPixels, size });
  }
  return openImageFolder(path, { maxPixels, size });
}

/** Whether there is a file that can be nothing else. */
async function holdsVideos(folder: string): Promise<boolean> {
  const { files } = await filesBelow(folder, VIDEO_EXTENSIONS);
  for (const file of files) if (!IMAGE_EXTENSIONS.has(await usualExtension(file))) return true;
  return false;
}

async function openArray(
  npz: Npz,
  path: string,
  { videos, maxPixels }: OpenSetOptions,
): Promise<SampleSource> {
  if (!videos) return openImageArray(npz, path, maxPixels);
  const areVideos = videos.always || (await readHeader(npz)).shape.length === 5;
  return areVideos
    ? openVideoArray(npz, path, videos.protocol, maxPixels)
    : openImageArray(npz, path, maxPixels);
}
