/** @file The nearest images of a dataset, by the distance of their pixels. */

import { float32At } from '../../src/at.ts';
import type { ImageDataset } from '../../src/data/dataset.ts';

/** Images that are read at once. */
const AT_ONCE = 32;

/** An image of a dataset. */
export interface Neighbour {
  /** (C, H, W) in [-1, 1] */
  readonly values: Float32Array;
  /** Root of the mean squared difference of the values. */
  readonly distance: number;
}

/** Finds the nearest image of the dataset to each of the wanted ones: values as in the dataset. */
export async function nearestTo(
  wanted: readonly Float32Array[],
  dataset: ImageDataset,
): Promise<Neighbour[]> {
  const found = wanted.map((): Neighbour => ({ values: new Float32Array(), distance: Infinity }));
  for (let first = 0; first < dataset.size; first += AT_ONCE) {
    const count = Math.min(AT_ONCE, dataset.size - first);
    for (const sample of await Promise.all(
      Array.from({ length: count }, (_, i) => dataset.read(first + i)),
    )) {
      if (sample) replaceFarther(found, wanted, sample.values);
    }
  }
  return found;
}

function replaceFarther(found: Neighbour[], wanted: readonly Float32Array[], values: Float32Array): void {
  for (const [i, image] of wanted.entries()) {
    const limit = found[i]?.distance ?? Infinity;
    const distance = distanceWithin(image, values, limit);
    if (distance < limit) found[i] = { values, distance };
  }
}

/** Returns the distance of two images, or, as soon as it is known to exceed `limit`, infinity. */
function distanceWithin(a: Float32Array, b: Float32Array, limit: number): number {
  const enough = limit ** 2 * a.length;
  let sum = 0;
  for (let start = 0; start < a.length; start += 256) {
    const end = Math.min(start + 256, a.length);
    for (let i = start; i < end; i++) sum += (float32At(a, i) - float32At(b, i)) ** 2;
    if (sum >= enough) return Infinity;
  }
  return Math.sqrt(sum / a.length);
}
