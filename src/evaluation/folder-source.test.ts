import { describe, expect, it } from 'vitest';
import { folderOf } from '../../test/support/folder-of.ts';
import { FormatError } from '../errors.ts';
import { blankImage, encodePng } from '../media/image.ts';
import { openImageFolder } from './folder-source.ts';
import type { SampleSource } from './sample-source.ts';

/** A white image with black columns at the left and right. */
async function bordered(width: number, height: number, border: number): Promise<Uint8Array> {
  const image = blankImage(width, height, 1, 255);
  for (let i = 0; i < image.data.length; i++) {
    const column = i % width;
    if (column < border || column >= width - border) image.data[i] = 0;
  }
  return encodePng(image);
}

async function imagesOf(source: SampleSource): Promise<number[][]> {
  const images: number[][] = [];
  for await (const { shape, data } of source.batches(2)) {
    const size = data.length / shape[0];
    for (let i = 0; i < shape[0]; i++) images.push(Array.from(data.slice(i * size, (i + 1) * size), Number));
  }
  return images;
}

describe('a folder of images of several sizes', () => {
  // The crop to 4 x 4 takes columns 2 to 5 of 8 x 4 pixels, and rows 4 to 7 of 4 x 12; neither is resized.
  const mixed = async () =>
    folderOf({
      'wide.png': await bordered(8, 4, 2),
      'square.png': await bordered(4, 4, 0),
      'tall/x.png': await bordered(4, 12, 0),
    });

  it('is refused, with how to go ahead', async () => {
    const read = async () => imagesOf(await openImageFolder(await mixed()));
    await expect(read()).rejects.toThrow(FormatError);
    await expect(read()).rejects.toThrow(/one size\. Crop each to a square of N pixels.*--size N/);
  });

  it('is cropped to one size where one is asked for', async () => {
    const source = await openImageFolder(await mixed(), { size: 4 });
    expect(source).toMatchObject({ count: 3, shape: [4, 4, 3] });
    expect(await imagesOf(source)).toEqual(Array.from({ length: 3 }, () => Array(48).fill(255)));
  });
});
