/** @file What identifies a model, independent of the file that holds it: its sizes and weights, to be hashed. */

import { parameters } from '../models/acdit/weights.ts';
import { tensorBytes } from '../tensor/tensor.ts';
import { type StoredModel, weightSource } from './stored-model.ts';

/** Hexadecimal digits of a fingerprint. */
export const FINGERPRINT_LENGTH = 16;

/**
 * Yields what determines a model's samples: its sizes, and each weight's name and float32 values. Names of classes and the
 * like do not count.
 */
export async function* fingerprintParts(
  model: StoredModel,
  signal?: AbortSignal,
): AsyncGenerator<Uint8Array, void, void> {
  const source = weightSource(model);
  const { classNames: _, guidance: __, preset: ___, autoencoder: ____, ...sizes } = model.config;
  const encoder = new TextEncoder();
  yield encoder.encode(JSON.stringify(Object.entries(sizes).sort()));
  for (const name of parameters(model.config).keys()) {
    signal?.throwIfAborted();
    yield encoder.encode(name);
    yield tensorBytes(await source(name));
  }
}
