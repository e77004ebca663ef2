/** @file Images in the files of the MNIST family, with their labels. */

import { imageFromSamples } from '../media/image.ts';
import { tensor } from '../tensor/tensor.ts';
import type { ImageDataset } from '../training/datasets/dataset.ts';
import { loadIdxDataset } from '../training/datasets/idx-dataset.ts';
import type { SampleSource } from './sample-source.ts';

/**
 * The images of an IDX file, beside which is the one of their labels.
 * @throws {DatasetError} if there is none; {FormatError} if one is damaged.
 */
export async function openIdxSource(path: string): Promise<SampleSource> {
  return datasetSource(await loadIdxDataset(path));
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
        const data = new Uint8Array(some.length * height * width * channels);
        for (const [i, image] of some.entries()) data.set(image, i * image.length);
        yield tensor('uint8', [some.length, height, width, channels], data);
      }
    },
    async close() {},
  };
}
