/** @file Images in the files of the MNIST family, with their labels. */

import { createHash } from 'node:crypto';
import { take } from '../at.ts';
import type { ImageDataset } from '../data/dataset.ts';
import { readIdxImages, readIdxLabels } from '../data/idx-dataset.ts';
import { type Image, imageFromSamples } from '../media/image.ts';
import { batchesOf, batchOf, labelsIfReadable, type SampleSource } from './sample-source.ts';

/**
 * Opens the images of an IDX file, with the labels next to it, if they exist.
 * @throws {DatasetError} if there is no image; {FormatError} if the file is damaged.
 */
export async function openIdxSource(path: string): Promise<SampleSource> {
  const { shape, data } = await readIdxImages(path);
  const [count, height, width] = take(shape, 3);
  const labels = await labelsIfReadable(async () => (await readIdxLabels(path, count)).data);
  const size = height * width;
  const images = Array.from({ length: count }, (_, i) => ({ data: data.subarray(i * size, (i + 1) * size) }));
  return memorySource({ name: path, shape: [height, width, 1], ...labels }, images);
}

/** The first `count` images of a dataset, all by default; those that cannot be read are left out. */
export async function datasetSource(dataset: ImageDataset, count = dataset.size): Promise<SampleSource> {
  const [, ...shape] = dataset.sampleShape;
  const [channels, height, width] = take(shape, 3);
  const labels: number[] = [];
  const images: Image[] = [];
  for (let i = 0; i < dataset.size && images.length < count; i++) {
    const sample = await dataset.read(i);
    if (!sample) continue;
    labels.push(sample.label);
    images.push(imageFromSamples(sample.values, shape));
  }
  return memorySource({ name: dataset.name, shape: [height, width, channels], labels }, images);
}

function memorySource(
  source: Omit<SampleSource, 'count' | 'batches' | 'shared' | 'close'>,
  images: readonly { readonly data: Uint8Array }[],
): SampleSource {
  return {
    ...source,
    count: images.length,
    ...batchesOf({
      count: (size) => Math.ceil(images.length / size),
      async *read(size, isOwn) {
        for (let start = 0; start < images.length; start += size) {
          if (isOwn(start / size)) yield batchOf(source.shape, images.slice(start, start + size));
        }
      },
      async fingerprint() {
        const hash = createHash('sha256');
        for (const { data } of images) hash.update(data);
        return hash.digest('hex').slice(0, 16);
      },
    }),
    async close() {},
  };
}
