/** @file An encoder that can be followed by eye: means are 2 x 2 averages, variances are chosen. */

import type { Autoencoder } from '../../src/models/autoencoder/autoencoder.ts';
import { float32, type Tensor } from '../../src/tensor/tensor.ts';
import { stableDiffusionAutoencoder } from './formula-weights.ts';

export interface FakeEncoder extends Pick<Autoencoder, 'config' | 'encode'> {
  /** Pictures given so far, mirrored ones included. */
  readonly encoded: () => number;
}

/** Halves grey pictures; the one latent channel has the given log variance. */
export function fakeEncoder(logVariance = -30): FakeEncoder {
  let encoded = 0;
  return {
    config: {
      ...stableDiffusionAutoencoder,
      inChannels: 1,
      latentChannels: 1,
      blockChannels: [32, 32],
      scalingFactor: 0.5,
    },
    encoded: () => encoded,
    async encode(images, { signal } = {}) {
      signal?.throwIfAborted();
      encoded += images.shape[0];
      const mean = halved(images);
      return { mean, logVariance: float32(mean.shape, new Float32Array(mean.data.length).fill(logVariance)) };
    },
  };
}

/** (N, 1, H, W) averaged over squares of 2 x 2. */
function halved({ shape: [count, , height, width], data }: Tensor<'float32'>): Tensor<'float32'> {
  const out = new Float32Array(data.length / 4);
  for (let row = 0; row < (count * height) / 2; row++) {
    for (let column = 0; column < width / 2; column++) {
      const at = 2 * row * width + 2 * column;
      out[(row * width) / 2 + column] =
        (data[at] + data[at + 1] + data[at + width] + data[at + width + 1]) / 4;
    }
  }
  return float32([count, 1, height / 2, width / 2], out);
}
