/**
 * @file What a network predicts of a noised sample x_t = a x_0 + s epsilon, where a is the signal and s the noise of its
 * level. Any prediction determines both the clean sample x_0 and the noise epsilon.
 */

import { float32At } from '../at.ts';
import type { NoiseLevel } from './noise-schedule.ts';

/**
 * - `epsilon`: the noise (Ho et al. 2020, arXiv 2006.11239); the paper's.
 * - `v`: a epsilon - s x_0 (Salimans and Ho 2022, arXiv 2202.00512, section 4).
 * - `sample`: the clean sample x_0, with which a small transformer can denoise large patches (Li and He 2025, arXiv
 *   2511.13720).
 * - `flow`: epsilon - x_0, the velocity of rectified flow (Liu et al. 2022, arXiv 2209.03003).
 */
export const PREDICTIONS = ['epsilon', 'v', 'sample', 'flow'] as const;
/** One of {@link PREDICTIONS}. */
export type Prediction = (typeof PREDICTIONS)[number];

/** A noised sample taken apart. */
export interface Denoised {
  readonly clean: Float32Array;
  readonly epsilon: Float32Array;
}

/**
 * Returns what the network should output for a clean sample and its noise, any shape.
 * @param level of the noised sample.
 */
export function predictionTarget(
  prediction: Prediction,
  { signal, noise }: NoiseLevel,
  clean: Float32Array,
  epsilon: Float32Array,
): Float32Array {
  switch (prediction) {
    case 'epsilon':
      return epsilon;
    case 'sample':
      return clean;
    case 'v':
      return combine(signal, epsilon, -noise, clean);
    case 'flow':
      return combine(1, epsilon, -1, clean);
  }
}

/**
 * Returns the clean sample and the noise that an output of the network means, any shape.
 * @param x the noised sample at `level`.
 */
export function denoise(
  prediction: Prediction,
  { signal, noise }: NoiseLevel,
  x: Float32Array,
  output: Float32Array,
): Denoised {
  switch (prediction) {
    case 'epsilon':
      return { clean: x.map((value, i) => (value - noise * float32At(output, i)) / signal), epsilon: output };
    case 'sample':
      return {
        clean: output.slice(),
        epsilon: x.map((value, i) => (value - signal * float32At(output, i)) / noise),
      };
    case 'v': {
      const square = signal ** 2 + noise ** 2;
      return {
        clean: combine(signal / square, x, -noise / square, output),
        epsilon: combine(noise / square, x, signal / square, output),
      };
    }
    case 'flow': {
      const sum = signal + noise;
      return {
        clean: combine(1 / sum, x, -noise / sum, output),
        epsilon: combine(1 / sum, x, signal / sum, output),
      };
    }
  }
}

/**
 * Returns how much larger the squared error of a prediction is than that of the clean sample that it means: the factor
 * between a loss on predictions and a loss on clean samples.
 */
export function squaredErrorRatio(prediction: Prediction, { signal, noise }: NoiseLevel): number {
  switch (prediction) {
    case 'epsilon':
      return (signal / noise) ** 2;
    case 'sample':
      return 1;
    case 'v':
      return ((signal ** 2 + noise ** 2) / noise) ** 2;
    case 'flow':
      return ((signal + noise) / noise) ** 2;
  }
}

/** Returns a x + b y, element by element. */
function combine(a: number, x: Float32Array, b: number, y: Float32Array): Float32Array {
  return x.map((value, i) => a * value + b * float32At(y, i));
}
