/** @file Identifies a model, independent of the file that holds it (Node only). */

import { createHash } from 'node:crypto';
import { FINGERPRINT_LENGTH, fingerprintParts } from './fingerprint-parts.ts';
import type { StoredModel } from './stored-model.ts';

/**
 * Hash of a model's sizes and of its weights as float32: the same for a model folder and an official checkpoint with the
 * same numbers. Names of classes and the like do not count. Reads all weights.
 */
export async function modelFingerprint(model: StoredModel, signal?: AbortSignal): Promise<string> {
  const hash = createHash('sha256');
  for await (const part of fingerprintParts(model, signal)) hash.update(part);
  return hash.digest('hex').slice(0, FINGERPRINT_LENGTH);
}
