/** @file What tells the latents of one autoencoder from those of another, whatever file it is in. */

import { createHash } from 'node:crypto';
import { autoencoderParameters, type Part } from '../models/autoencoder/stages.ts';
import { float32ToFloat16 } from '../tensor/convert.ts';
import type { StoredAutoencoder } from './autoencoder.ts';

/**
 * Hash of the encoder's parameters, rounded to half precision: the same for `.safetensors` and `.bin`, for old names and
 * new ones, for fp16 and fp32 files, and for autoencoders that share an encoder, as several of Stable Diffusion do. All
 * of these have the same latents. Reads the encoder's part of the file.
 * @param part the decoder instead, which tells what latents look like.
 */
export async function autoencoderFingerprint(
  { config, weights }: Pick<StoredAutoencoder, 'config' | 'weights'>,
  part: Part = 'encoder',
): Promise<string> {
  const hash = createHash('sha256').update(`groups ${config.groups}`);
  for (const name of autoencoderParameters(config, [part]).keys()) {
    const { data } = await weights(name);
    hash.update(name).update(float32ToFloat16(data));
  }
  return hash.digest('hex').slice(0, 16);
}
