/** @file What tells one autoencoder from another, whatever file it is in. */

import { createHash } from 'node:crypto';
import { autoencoderParameters } from '../models/autoencoder/stages.ts';
import { tensorBytes } from '../tensor/tensor.ts';
import type { StoredAutoencoder } from './autoencoder.ts';

/**
 * Hash of the names and float32 values of all parameters: the same for `.safetensors` and `.bin`, and for old names and
 * new ones. Reads the whole file.
 */
export async function autoencoderFingerprint({
  config,
  weights,
}: Pick<StoredAutoencoder, 'config' | 'weights'>): Promise<string> {
  const hash = createHash('sha256').update(`groups ${config.groups}`);
  for (const name of autoencoderParameters(config).keys()) {
    hash.update(name).update(tensorBytes(await weights(name)));
  }
  return hash.digest('hex').slice(0, 16);
}
