/** @file Images in the files of the MNIST family, with their labels. */

import { take } from '../at.ts';
import type { ImageDataset } from '../data/dataset.ts';
import { readIdxImages, readIdxLabels } from '../data/idx-dataset.ts';
import { DatasetError, FormatError } from '../errors.ts';
import { imageFromSamples } from '../media/image.ts';
import { joinArrays } from '../tensor/axes.ts';
import { tensor } from '../tensor/tensor.ts';
import type { SampleSource } from './sample-source.ts';

/**
 * Opens the images of an IDX file, with the labels next to it, if they exist.
 * @throws {DatasetError} if there is no image; {FormatError} if the file is damaged.
 */
export async function openIdxSource(path: string): Promise<SampleSource> {
  const images = await readIdxImages(path);
  const [count, height, width] = take(images.shape, 3);
  return {
    name: path,
    count,
    shape: [height, width, 1],
    ...(await labelsOf(path, count)),
    async *batches(size) {
      const bytes = height * width;
      for (let start = 0; start < count; start += size) {
        const end = Math.min(start + size, count);
        yield tensor('uint8', [end - start, height, width, 1], images.data.slice(start * bytes, end * bytes));
      }
    },
    async close() {},
  };
}

/** Reads the labels, if possible; only some metrics need them. */
async function labelsOf(path: string, count: number): Promise<Pick<SampleSource, 'labels' | 'labelProblem'>> {
  try {
    return { labels: (await readIdxLabels(path, count)).data };
  } catch (error) {
    if (error instanceof DatasetError || error instanceof FormatError) return { labelProblem: error.message };
    throw error;
  }
}

/** The first `count` images of a dataset, all by default; those that cannot be read are left out. */
export async function datasetSource(dataset: ImageDataset, count = dataset.size): Promise<SampleSource> {
  const [, ...shape] = dataset.sampleShape;
  const [channels, height, width] = shape;
  const labels: number[] = [];
  const images: Uint8Array[] = [];
  for (let i = 0; i < dataset.size && images.length < count; i++) {
    const sample = await dataset.read(i);
    if (!sample) continue;
    labels.push(sample.label);
    images.push(imageFromSamples(sample.values, shape).data);
  }
  return {
    name: dataset.name,
    count: images.length,
    shape: [height, width, channels],
    labels,
    async *batches(size) {
      for (let start = 0; start < images.length; start += size) {
        const some = images.slice(start, start + size);
        yield tensor('uint8', [some.length, height, width, channels], joinArrays('uint8', some));
      }
    },
    async close() {},
  };
}
