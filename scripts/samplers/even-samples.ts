/** @file A part of a dataset that has all of its classes, however it is sorted. */

import type { ImageDataset, Sample } from '../../src/data/dataset.ts';

/** Reads `count` images, spread evenly over the dataset; corrupt ones are left out. */
export async function evenSamples(dataset: ImageDataset, count: number): Promise<Sample[]> {
  const total = Math.min(count, dataset.size);
  const samples: Sample[] = [];
  for (let i = 0; i < total; i++) {
    const sample = await dataset.read(Math.floor((i * dataset.size) / total));
    if (sample) samples.push(sample);
  }
  return samples;
}
