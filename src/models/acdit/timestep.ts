/** @file The sinusoidal timestep embedding's input features. */

import { at, float32At } from '../../at.ts';
import { float32, type Tensor } from '../../tensor/tensor.ts';
import { TIMESTEP_FEATURES } from './weights.ts';

/** cos and sin of t / 10000^(i/128), cosines first; t are raw integers 0 to 999. (K) to (K, 256), in float32. */
export function timestepFeatures(timesteps: ArrayLike<number>): Tensor<'float32'> {
  const half = TIMESTEP_FEATURES / 2;
  const frequencies = Float32Array.from({ length: half }, (_, i) => Math.exp((-Math.log(10000) * i) / half));
  const out = new Float32Array(timesteps.length * TIMESTEP_FEATURES);
  for (let k = 0; k < timesteps.length; k++) {
    for (let i = 0; i < half; i++) {
      const angle = Math.fround(at(timesteps, k) * float32At(frequencies, i));
      out[k * TIMESTEP_FEATURES + i] = Math.cos(angle);
      out[k * TIMESTEP_FEATURES + half + i] = Math.sin(angle);
    }
  }
  return float32([timesteps.length, TIMESTEP_FEATURES], out);
}
