/** @file What identifies data. */

import { createHash } from 'node:crypto';
import type { Dataset } from '../data/dataset.ts';
import { defined } from '../records.ts';

/** Returns the size of data, a fingerprint that other data does not have, and how many samples are held out, if any. */
export async function dataFacts(dataset: Dataset) {
  const { size: samples, sampleShape, classNames, autoencoder } = dataset;
  const fingerprint = await dataset.fingerprint?.();
  const text = JSON.stringify({ size: samples, sampleShape, classNames, autoencoder, fingerprint });
  return {
    samples,
    fingerprint: createHash('sha256').update(text).digest('hex').slice(0, 16),
    ...defined({ heldOut: dataset.heldOut }),
  };
}
