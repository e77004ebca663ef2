/** @file From a sampler's latents to images, through an autoencoder (released code, `sample_img.py`, `sample_vid.py`). */

import { float32At, take } from '../at.ts';
import { ConfigError } from '../errors.ts';
import {
  type AcditConfig,
  describeOrigin,
  type LatentOrigin,
  PAPER_DOWNSAMPLING,
  sameOrigin,
} from '../models/acdit/config.ts';
import { unpatchify } from '../models/acdit/layout.ts';
import type { Autoencoder, CodingOptions } from '../models/autoencoder/autoencoder.ts';
import { type AutoencoderConfig, downsampling } from '../models/autoencoder/config.ts';
import { elementCount, float32, type Tensor } from '../tensor/tensor.ts';

/**
 * Check that an autoencoder decodes a model's latents.
 * @throws {ConfigError} naming what differs.
 */
export function checkAutoencoder(model: AcditConfig, autoencoder: AutoencoderConfig): void {
  const { channels, downsampling: expected = PAPER_DOWNSAMPLING, space } = model;
  const problem = (what: string, needed: number | string, got: number | string): ConfigError =>
    new ConfigError(
      `the autoencoder does not fit the model: the model's ${what} ${needed}, the autoencoder's ${got}; ` +
        'give the one that the model was trained with',
    );
  if (space !== 'latents') throw problem('space is', space, 'latents');
  const { latentChannels, outChannels } = autoencoder;
  if (latentChannels !== channels) throw problem('latents have channels:', channels, latentChannels);
  const factor = downsampling(autoencoder);
  if (factor !== expected)
    throw problem('latents each stand for a square of pixels of side', expected, factor);
  if (outChannels !== 3) throw problem('pictures have channels:', 3, outChannels);
}

/**
 * Check that an autoencoder is the one that a model's latents were made with, if the model knows which.
 * @param name what to call it in the message.
 * @throws {ConfigError} if it is another.
 */
export function checkLatentOrigin({ autoencoder }: AcditConfig, origin: LatentOrigin, name: string): void {
  if (!autoencoder || sameOrigin(autoencoder, origin)) return;
  throw new ConfigError(
    `${name} is not the autoencoder that the model was trained with: its encoder is ` +
      `${describeOrigin(origin)}, the model's ${describeOrigin(autoencoder)}; give the one of acdit encode`,
  );
}

/**
 * Decode latents, one image or frame at a time.
 * @param latents (N, T, B, C) as a sampler gives them, scaled by the autoencoder's scaling factor.
 * @returns images (N, frames, 3, H, W), clamped to [-1, 1]
 * @throws {ConfigError} if the autoencoder does not fit the model.
 */
export async function latentsToImages(
  autoencoder: Pick<Autoencoder, 'config' | 'decode'>,
  model: AcditConfig,
  latents: Tensor<'float32'>,
  options: CodingOptions = {},
): Promise<Tensor<'float32'>> {
  checkAutoencoder(model, autoencoder.config);
  const { shape, data } = unpatchify(model, latents);
  const [samples, frames, ...picture] = take(shape, 2);
  const { scalingFactor } = autoencoder.config;
  const unscaled = data.map((value) => value / scalingFactor);
  const images = await autoencoder.decode(float32([samples * frames, ...picture], unscaled), options);
  for (let i = 0; i < elementCount(images.shape); i++) {
    images.data[i] = Math.min(Math.max(float32At(images.data, i), -1), 1);
  }
  return float32([samples, frames, ...images.shape.slice(1)], images.data);
}

/** Encodes images (frames, C, H, W) in [-1, 1] to the means of their latents, scaled as models know them. */
export async function imagesToLatents(
  autoencoder: Pick<Autoencoder, 'config' | 'encode'>,
  images: Tensor<'float32'>,
  options: CodingOptions = {},
): Promise<Tensor<'float32'>> {
  const { shape, data } = (await autoencoder.encode(images, options)).mean;
  const { scalingFactor } = autoencoder.config;
  return float32(
    shape,
    data.map((value) => value * scalingFactor),
  );
}
