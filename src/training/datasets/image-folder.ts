/** @file Datasets of one folder a class, any common image format. Images are decoded when asked for. */

import { readImage, samplesFromImage, withChannels } from '../../media/image.ts';
import { centerCrop } from '../../media/resize.ts';
import { fingerprintOf, type LabelledFile, listClassFiles } from './class-folders.ts';
import { CorruptFiles, type CorruptFilesOptions } from './corrupt-files.ts';
import type { ImageDataset, Sample } from './dataset.ts';

export interface ImageFolderOptions extends CorruptFilesOptions {
  /** Side of the square that ADM's centre crop makes of each image. */
  readonly imageSize: number;
  /** Grey or RGB; default 3. */
  readonly channels?: 1 | 3 | undefined;
  /** Default: the names of the folders. */
  readonly classNames?: readonly string[] | undefined;
}

/** Endings of the names of images. */
export const IMAGE_EXTENSIONS: ReadonlySet<string> = new Set([
  '.jpg',
  '.jpeg',
  '.png',
  '.webp',
  '.gif',
  '.tif',
  '.tiff',
  '.avif',
]);

/**
 * List the images of a folder of class folders. Classes are the folders in order of their names.
 * @throws {DatasetError} if there are no class folders, one has no image, or the folder cannot be read.
 */
export async function openImageFolder(path: string, options: ImageFolderOptions): Promise<ImageDataset> {
  const { imageSize, channels = 3 } = options;
  const { files, classNames } = await listClassFiles(path, IMAGE_EXTENSIONS, 'images', options.classNames);
  const corrupt = new CorruptFiles(path, files.length, 'images', options);
  async function read(index: number): Promise<Sample | undefined> {
    if (corrupt.has(index)) return undefined;
    try {
      const sample = await readSample(files[index], imageSize, channels);
      corrupt.markGood(index);
      return sample;
    } catch (error) {
      corrupt.mark(index, files[index].path, error as Error);
      return undefined;
    }
  }
  return {
    name: path,
    size: files.length,
    sampleShape: [1, channels, imageSize, imageSize],
    classNames,
    get corruptCount() {
      return corrupt.count;
    },
    fingerprint: () => fingerprintOf(path, files),
    read,
  };
}

async function readSample({ path, label }: LabelledFile, size: number, channels: 1 | 3): Promise<Sample> {
  const image = withChannels(await readImage(path), channels);
  return { values: samplesFromImage(centerCrop(image, size)), label };
}
