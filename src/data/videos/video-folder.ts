/** @file Videos in one folder per class. */

import { VIDEO_EXTENSIONS } from '../../media/file-formats.ts';
import { listClassFiles } from '../class-folders.ts';
import type { VideoDataset } from '../dataset.ts';
import { type VideoDatasetOptions, videoDataset } from './video-dataset.ts';

export interface VideoFolderOptions extends VideoDatasetOptions {
  /** Default: the names of the folders. */
  readonly classNames?: readonly string[] | undefined;
}

/**
 * List the videos of a folder of class folders. Classes are the folders in order of their names.
 * @throws {DatasetError} if there are no class folders, one has no video, or the folder cannot be read.
 */
export async function openVideoFolder(path: string, options: VideoFolderOptions): Promise<VideoDataset> {
  const files = await listClassFiles(path, VIDEO_EXTENSIONS, 'videos', options.classNames);
  return videoDataset(path, files, options);
}
