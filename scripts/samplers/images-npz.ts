/** @file Images as an npz file with labels, as `acdit evaluate` reads it. */

import { openImages } from '../../src/data/open.ts';
import { encodeNpz } from '../../src/formats/npz.ts';
import { writeFileAtomically } from '../../src/io/atomic-write.ts';
import { type Image, imageFromSamples, withChannels } from '../../src/media/image.ts';
import type { AcditConfig } from '../../src/models/acdit/config.ts';
import { joinArrays } from '../../src/tensor/axes.ts';
import { tensor } from '../../src/tensor/tensor.ts';
import { evenSamples } from './even-samples.ts';

/** Writes images of one size, with their labels. */
export async function writeImages(
  path: string,
  images: readonly Image[],
  labels: readonly number[],
): Promise<void> {
  const [{ width, height } = { width: 0, height: 0 }] = images;
  const pixels = joinArrays(
    'uint8',
    images.map((image) => withChannels(image, 3).data),
  );
  const bytes = await encodeNpz({
    arr_0: tensor('uint8', [images.length, height, width, 3], pixels),
    arr_1: tensor('int64', [images.length], BigInt64Array.from(labels, BigInt)),
  });
  await writeFileAtomically(path, (write) => write(bytes));
}

/** Writes `count` training images for a model, spread evenly over the data set. @returns the path. */
export async function realImages(
  data: string,
  { height: imageSize, channels }: Pick<AcditConfig, 'height' | 'channels'>,
  count: number,
  path: string,
): Promise<string> {
  const dataset = await openImages({ path: data, imageSize, channels: channels === 1 ? 1 : 3 });
  const samples = await evenSamples(dataset, count);
  const images = samples.map(({ values }) => imageFromSamples(values, dataset.sampleShape.slice(1)));
  await writeImages(
    path,
    images,
    samples.map(({ label }) => label),
  );
  return path;
}
