/** @file Datasets of one folder per class, any common image format. Images are decoded when asked for. */

import { at } from '../at.ts';
import { IMAGE_EXTENSIONS } from '../media/file-formats.ts';
import { MAXIMUM_PIXELS, openImage, samplesFromImage, withChannels } from '../media/image.ts';
import { centerCrop } from '../media/resize.ts';
import { createSemaphore } from '../semaphore.ts';
import { fileKey, fingerprintOf, type LabelledFile, listClassFiles } from './class-folders.ts';
import { CorruptFiles } from './corrupt-files.ts';
import type { ImageDataset, Sample } from './dataset.ts';
import type { DatasetOptions } from './kinds.ts';

interface ImageFolderOptions extends Omit<DatasetOptions, 'path'> {
  readonly imageSize: number;
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
  const { files, ...named } = found;
  const readSample = sampleReader(options);
  const corrupt = new CorruptFiles(path, files.length, 'images', options);
  return {
    name: path,
    size: files.length,
    sampleShape: [1, channels, imageSize, imageSize],
    ...named,
    get corruptCount() {
      return corrupt.count;
    },
    fingerprint: () => fingerprintOf(path, files),
    label: (index) => at(files, index).label,
    key: (index) => fileKey(path, at(files, index), found.classNames),
    async read(index) {
      const file = at(files, index);
      return corrupt.attempt(index, file.path, () => readSample(file));
    },
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
