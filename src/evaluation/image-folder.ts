/** @file Images in a folder, at any depth. */

import { relative } from 'node:path';
import { DatasetError, FormatError } from '../errors.ts';
import { type Image, readImage, withChannels } from '../media/image.ts';
import { tensor } from '../tensor/tensor.ts';
import { filesBelow } from '../training/datasets/class-folders.ts';
import { IMAGE_EXTENSIONS } from '../training/datasets/image-folder.ts';
import { readAhead } from './read-ahead.ts';
import type { SampleSource } from './sample-source.ts';

/**
 * The images of a folder and of those in it, in the order of their names; grey ones among coloured ones become RGB.
 * @throws {DatasetError} if there are none; {FormatError} if the first cannot be read.
 */
export async function openImageFolder(path: string): Promise<SampleSource> {
  const files = await filesBelow(path, IMAGE_EXTENSIONS);
  if (files.length === 0) {
    throw new DatasetError(`${path}: holds no images (${[...IMAGE_EXTENSIONS].join(', ')})`);
  }
  const { width, height } = await readImage(files[0]);
  const read = async (file: string): Promise<Image> => {
    const image = withChannels(await readImage(file), 3);
    if (image.width === width && image.height === height) return image;
    throw new FormatError(
      `${file}: is ${image.width} x ${image.height} but ${relative(path, files[0])} is ${width} x ${height}; all must be ` +
        'of one size',
    );
  };
  return {
    name: path,
    count: files.length,
    shape: [height, width, 3],
    async *batches(size) {
      for await (const images of readAhead(files.length, size, (i) => read(files[i]))) {
        const data = new Uint8Array(images.length * height * width * 3);
        for (const [i, image] of images.entries()) data.set(image.data, i * image.data.length);
        yield tensor('uint8', [images.length, height, width, 3], data);
      }
    },
    async close() {},
  };
}
