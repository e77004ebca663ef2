import { at } from '../../src/at.ts';
import type { Tensor } from '../../src/tensor/tensor.ts';

/** Decibels of the middle sample, against values from -1 to 1, or from -peak to peak. */
export function signalToNoise(expected: Tensor<'float32'>, actual: Tensor<'float32'>): number {
  const peak = expected.data.reduce((largest, value) => Math.max(largest, Math.abs(value)), 1);
  const decibels = samplesToNoise(expected, actual, peak);
  return at(decibels, Math.floor(decibels.length / 2));
}

/** Decibels of each sample against values from -peak to peak, the worst first. */
export function samplesToNoise(expected: Tensor<'float32'>, actual: Tensor<'float32'>, peak = 1): number[] {
  const samples = at(expected.shape, 0);
  const size = expected.data.length / samples;
  const decibels = Array.from({ length: samples }, (_, sample) => {
    const part = ({ data }: Tensor<'float32'>) => data.subarray(sample * size, (sample + 1) * size);
    const [a, b] = [part(expected), part(actual)];
    const squares = Array.from(a, (value, i) => (value - at(b, i)) ** 2);
    return 10 * Math.log10((2 * peak) ** 2 / (squares.reduce((sum, square) => sum + square, 0) / size));
  });
  return decibels.sort((a, b) => a - b);
}
