/** @file Identifies an autoencoder by its latents, independent of the file that holds it. */

import { ArgumentError } from '../errors.ts';
import type { LatentOrigin } from '../models/acdit/config.ts';
import { autoencoderParameters, type Part } from '../models/autoencoder/stages.ts';
import { float32ToFloat16 } from '../tensor/convert.ts';
import type { StoredAutoencoder } from './stored-autoencoder.ts';

/**
 * Hash of the encoder's parameters, rounded to half precision: the same for `.safetensors` and `.bin`, for old names and
 * new ones, for fp16 and fp32 files, and for autoencoders that share an encoder, as several of Stable Diffusion do. All
 * of these have the same latents. Reads the encoder's part of the file.
 * @param part the decoder instead, which determines what latents look like.
 */
export async function autoencoderFingerprint(
  { config, weights }: Pick<StoredAutoencoder, 'config' | 'weights'>,
  part: Part = 'encoder',
): Promise<string> {
  const text = new TextEncoder();
  const parts: Uint8Array<ArrayBuffer>[] = [text.encode(`groups ${config.groups}`)];
  for (const name of autoencoderParameters(config, [part]).keys()) {
    const { data } = await weights(name);
    const { buffer } = float32ToFloat16(data);
    parts.push(text.encode(name), new Uint8Array(buffer as ArrayBuffer));
  }
  // What browsers have too. It takes all bytes at once: 68 MB for Stable Diffusion's encoder.
  const { subtle } = globalThis.crypto;
  if (!subtle)
    throw new ArgumentError('a page can tell autoencoders apart only at an https address, or localhost');
  const digest = await subtle.digest('SHA-256', await new Blob(parts).arrayBuffer());
  return Array.from(new Uint8Array(digest), (byte) => byte.toString(16).padStart(2, '0'))
    .join('')
    .slice(0, 16);
}

/** Returns what latents of an autoencoder record of it. */
export async function latentOrigin(stored: StoredAutoencoder): Promise<LatentOrigin> {
  const { scalingFactor } = stored.config;
  return { fingerprint: await autoencoderFingerprint(stored), scalingFactor };
}
