/** @file What an AutoencoderKL is: the sizes of the convolutional autoencoder of latent diffusion models. */

import { ConfigError } from '../../errors.ts';

/** Sizes of an AutoencoderKL, after the diffusers configuration of the same name. */
export interface AutoencoderConfig {
  /** Channels of the images that go in and come out; 3 for RGB. */
  readonly inChannels: number;
  readonly outChannels: number;
  readonly latentChannels: number;
  /** Channels at each resolution, full size first; each but the first halves height and width. */
  readonly blockChannels: readonly number[];
  /** Residual blocks at each resolution of the encoder; the decoder has one more. */
  readonly layersPerBlock: number;
  /** Groups of channels that a norm normalises together. */
  readonly groups: number;
  /** Self-attention at the lowest resolution. */
  readonly midAttention: boolean;
  /** A 1 x 1 convolution of the moments after the encoder, and one of the latents before the decoder. */
  readonly quantConv: boolean;
  readonly postQuantConv: boolean;
  /** Diffusion models see latents times this, so that their deviation is about 1. */
  readonly scalingFactor: number;
}

/** Scaling factor where a configuration names none: that of Stable Diffusion's first autoencoder. */
export const DEFAULT_SCALING_FACTOR = 0.18215;

/** Pixels along the side of the square that one latent stands for. */
export function downsampling({ blockChannels }: AutoencoderConfig): number {
  return 2 ** (blockChannels.length - 1);
}

/**
 * Check a configuration as a whole.
 * @throws {ConfigError} naming the first field that does not fit.
 */
export function validateAutoencoder(config: AutoencoderConfig): AutoencoderConfig {
  const fail = (problem: string): never => {
    throw new ConfigError(`autoencoder configuration: ${problem}`);
  };
  const { inChannels, outChannels, latentChannels, layersPerBlock, blockChannels, groups, scalingFactor } =
    config;
  const counts = {
    ...{ inChannels, outChannels, latentChannels, layersPerBlock, groups },
    ...Object.fromEntries(blockChannels.map((channels, i) => [`blockChannels[${i}]`, channels])),
  };
  for (const [field, value] of Object.entries(counts)) {
    if (!Number.isSafeInteger(value) || value < 1)
      fail(`${field} must be a whole number above 0, got ${value}`);
  }
  if (blockChannels.length < 1 || blockChannels.length > 16) {
    fail(`blockChannels must have 1 to 16 entries, got ${blockChannels.length}`);
  }
  const indivisible = blockChannels.find((channels) => channels % groups !== 0);
  if (indivisible !== undefined) {
    fail(`blockChannels must be multiples of the ${groups} groups, got ${indivisible}`);
  }
  if (!(scalingFactor > 0 && Number.isFinite(scalingFactor))) {
    fail(`scalingFactor must be above 0, got ${scalingFactor}`);
  }
  return config;
}
