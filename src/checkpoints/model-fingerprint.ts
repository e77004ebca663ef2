/** @file Identifies a model, independent of the file that holds it. */

import { createHash } from 'node:crypto';
import { parameters } from '../models/acdit/weights.ts';
import { tensorBytes } from '../tensor/tensor.ts';
import { type StoredModel, weightSource } from './stored-model.ts';

/**
 * Hash of a model's sizes and of its weights as float32: the same for a model folder and an official checkpoint with the
 * same numbers. Names of classes and the like do not count. Reads all weights.
 */
export async function modelFingerprint(model: StoredModel, signal?: AbortSignal): Promise<string> {
  const source = weightSource(model);
  // What determines the samples, apart from the weights.
  const { classNames: _, guidance: __, preset: ___, autoencoder: ____, ...sizes } = model.config;
  const hash = createHash('sha256').update(JSON.stringify(Object.entries(sizes).sort()));
  for (const name of parameters(model.config).keys()) {
    signal?.throwIfAborted();
    hash.update(name).update(tensorBytes(await source(name)));
  }
  return hash.digest('hex').slice(0, 16);
}
