/** @file Datasets of one folder per class, any common image format. Images are decoded when asked for. */

import { at } from '../at.ts';
import { IMAGE_EXTENSIONS } from '../media/file-formats.ts';
import { MAXIMUM_PIXELS, openImage, samplesFromImage, withChannels } from '../media/image.ts';
import { centerCrop } from '../media/resize.ts';
import { createSemaphore } from '../semaphore.ts';
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
  /** Turn images upright by their EXIF orientation (default: false, as in the official code). */
  readonly exifOrientation?: boolean | undefined;
  /** Max pixels of an image. A larger one counts as corrupt. */
  readonly maxPixels?: number | undefined;
}

/** Max files that are read at once. */
const FILES_AT_ONCE = 8;

/**
 * List the images of a folder of class folders. Classes are the folders in order of their names.
 * @throws {DatasetError} if there are no class folders, one has no image, or the folder cannot be read.
 */
export async function openImageFolder(path: string, options: ImageFolderOptions): Promise<ImageDataset> {
  const { imageSize, channels = 3 } = options;
  const found = await listClassFiles(path, IMAGE_EXTENSIONS, 'images', options.classNames);
  const { files, classNames, ignoredFiles } = found;
  const readSample = sampleReader(options);
  const corrupt = new CorruptFiles(path, files.length, 'images', options);
  async function read(index: number): Promise<Sample | undefined> {
    if (corrupt.has(index)) return undefined;
    const file = at(files, index);
    try {
      const sample = await readSample(file);
      corrupt.markGood(index);
      return sample;
    } catch (error) {
      corrupt.mark(index, file.path, error as Error);
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
    ignoredFiles,
    fingerprint: () => fingerprintOf(path, files),
    read,
  };
}

/** Reads images, as many at once as have together the max pixels of one. */
function sampleReader({
  imageSize,
  channels = 3,
  exifOrientation,
  maxPixels = MAXIMUM_PIXELS,
}: ImageFolderOptions) {
  const files = createSemaphore(FILES_AT_ONCE);
  const pixels = createSemaphore(maxPixels);
  return ({ path, label }: LabelledFile): Promise<Sample> =>
    files(async () => {
      const file = await openImage(path, { exifOrientation, maxPixels });
      return pixels(async () => {
        const image = withChannels(await file.decode(), channels);
        return { values: samplesFromImage(centerCrop(image, imageSize)), label };
      }, file.width * file.height);
    });
}
