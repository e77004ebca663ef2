/** @file Images in a folder, at any depth. */

import { relative } from 'node:path';
import { at } from '../at.ts';
import { filesBelow, ignoredFiles } from '../data/folder-files.ts';
import { DatasetError, FormatError } from '../errors.ts';
import { IMAGE_EXTENSIONS } from '../media/file-formats.ts';
import { type Image, openImage, withChannels } from '../media/image.ts';
import { centerCrop } from '../media/resize.ts';
import { batchOf, modestBatch, readAhead, type SampleSource } from './sample-source.ts';

/** Advice for a set of several sizes. */
export const CROP_ADVICE =
  'Crop each to a square of N pixels, as training does, with --size N of acdit evaluate, or resize the files first';

/** Options for reading a folder of images or videos. */
export interface ImageFolderOptions {
  /** Max pixels of an image, or of all frames of a clip together (default: 100 million). */
  readonly maxPixels?: number | undefined;
  /**
   * Side of the square that images and frames of folders are cropped to, as in training. By default, they are not cropped
   * and must have one size.
   */
  readonly size?: number | undefined;
}

/**
 * The images of a folder and of those in it, in the order of their names, with their pixels as they are stored; grey ones
 * among coloured ones become RGB.
 * @throws {DatasetError} if there are none; {FormatError} if the first cannot be read.
 * Reading throws {FormatError} for an image of another size, unless `size` makes one of all.
 */
export async function openImageFolder(path: string, options: ImageFolderOptions = {}): Promise<SampleSource> {
  const { files, others } = await filesBelow(path, IMAGE_EXTENSIONS);
  if (files.length === 0) {
    throw new DatasetError(`${path}: holds no images (${[...IMAGE_EXTENSIONS].join(', ')})`);
  }
  const { size: side } = options;
  const { width, height } =
    side === undefined ? await openImage(at(files, 0), options) : { width: side, height: side };
  const read = async (file: string): Promise<Image> => {
    const image = await openImage(file, options);
    if (side !== undefined) return centerCrop(withChannels(await image.decode(), 3), side);
    if (image.width === width && image.height === height) return withChannels(await image.decode(), 3);
    throw new FormatError(
      `${file}: is ${image.width} x ${image.height} but ${relative(path, at(files, 0))} is ${width} x ${height}; all must be ` +
        `of one size. ${CROP_ADVICE}`,
    );
  };
  const shape = [height, width, 3];
  return {
    name: path,
    count: files.length,
    shape,
    ignoredFiles: ignoredFiles(others),
    async *batches(size) {
      const readAt = (i: number): Promise<Image> => read(at(files, i));
      for await (const images of readAhead(files.length, modestBatch(size, shape), readAt)) {
        yield batchOf(
          shape,
          images.map((image) => image.data),
        );
      }
    },
    async close() {},
  };
}
