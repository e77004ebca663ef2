/** @file Reads images and videos to continue from files. */

import { openAutoencoder } from '../checkpoints/autoencoder.ts';
import { videoFrames } from '../data/videos/clip.ts';
import { requireFitting } from '../decoding/decoder.ts';
import { invalidOption } from '../invalid-option.ts';
import { closingAfter } from '../io/byte-source.ts';
import type { Image } from '../media/pixels.ts';
import type { AcditConfig } from '../models/acdit/config.ts';
import { createAutoencoder } from '../models/autoencoder/autoencoder.ts';
import { openCpu } from '../runtime/node.ts';
import { givenFromFrames, type KeepOptions } from '../sampling/given.ts';
import { imagesToLatents } from '../sampling/latents-to-images.ts';
import type { Tensor } from '../tensor/tensor.ts';

/** What is continued, and how much of it is kept. */
export interface Continuation extends KeepOptions {
  /** An image, a video, or a folder of frames; or images, frame by frame. */
  readonly source: string | readonly Image[];
  /** Folder of the autoencoder, for a model of latents. */
  readonly vae: string | undefined;
  readonly threads: number;
  readonly signal: AbortSignal;
}

/**
 * Reads the blocks (1, K, B, C) that are kept of an image or a video.
 * @throws {ArgumentError} if there are too few frames, they are too small, or nothing would be left to make.
 * @throws {FormatError} if the file cannot be read.
 */
export function readGiven(config: AcditConfig, options: Continuation): Promise<Tensor<'float32'>> {
  const { source, signal, keep, blocks } = options;
  const isPath = typeof source === 'string';
  return givenFromFrames(config, isPath ? videoFrames(source, { signal }) : source, {
    name: isPath ? source : 'the image',
    keep,
    blocks,
    encode: (images) => encoded(config, images, options),
  });
}

/** Returns the means of the images' latents, scaled as the model knows them. */
async function encoded(
  config: AcditConfig,
  images: Tensor<'float32'>,
  { vae, threads, signal }: Continuation,
): Promise<Tensor<'float32'>> {
  if (vae === undefined) {
    throw invalidOption('continue', 'needs the autoencoder of a model of latents; give --vae DIR');
  }
  return closingAfter(openCpu({ threads }), async (device) =>
    closingAfter(await openAutoencoder(vae), async (stored) => {
      await requireFitting(config, stored, vae);
      const autoencoder = await createAutoencoder({ ...stored, device, parts: ['encoder'], signal });
      return imagesToLatents(autoencoder, images, { signal });
    }),
  );
}
