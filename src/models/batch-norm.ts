/** @file A batch norm as part of the convolution before it. */

import { at, float32At } from '../at.ts';
import { float32, type Tensor } from '../tensor/tensor.ts';

/** A batch norm of K channels as it is in use, y = (x - mean) / sqrt(variance + epsilon) * scale + shift. */
export interface BatchNorm {
  readonly mean: ArrayLike<number>;
  readonly variance: ArrayLike<number>;
  readonly shift: ArrayLike<number>;
  /** 1 where the norm has none. */
  readonly scale?: ArrayLike<number> | undefined;
  readonly epsilon: number;
}

/** The convolution (K, C, ...) that gives what `weight` without a bias does when the norm follows, computed in float64. */
export function foldBatchNorm(
  { shape, data }: Tensor<'float32'>,
  { mean, variance, shift, scale, epsilon }: BatchNorm,
): { weight: Tensor<'float32'>; bias: Tensor<'float32'> } {
  const outputs = at(shape, 0);
  const size = data.length / outputs;
  const weight = new Float32Array(data.length);
  const bias = new Float32Array(outputs);
  for (let k = 0; k < outputs; k++) {
    const factor = (scale?.[k] ?? 1) / Math.sqrt(at(variance, k) + epsilon);
    for (let i = k * size; i < (k + 1) * size; i++) weight[i] = float32At(data, i) * factor;
    bias[k] = at(shift, k) - at(mean, k) * factor;
  }
  return { weight: float32(shape, weight), bias: float32([outputs], bias) };
}
