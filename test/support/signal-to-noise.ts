import { at } from '../../src/at.ts';
import type { Tensor } from '../../src/tensor/tensor.ts';

/** Decibels of the middle sample, against values from -1 to 1, or from -peak to peak. */
export function signalToNoise(expected: Tensor<'float32'>, actual: Tensor<'float32'>): number {
  const samples = at(expected.shape, 0);
  const size = expected.data.length / samples;
  const peak = expected.data.reduce((largest, value) => Math.max(largest, Math.abs(value)), 1);
  const decibels = Array.from({ length: samples }, (_, sample) => {
    const part = ({ data }: Tensor<'float32'>) => data.subarray(sample * size, (sample + 1) * size);
    const [a, b] = [part(expected), part(actual)];
    const squares = Array.from(a, (value, i) => (value - at(b, i)) ** 2);
    return 10 * Math.log10((2 * peak) ** 2 / (squares.reduce((sum, square) => sum + square, 0) / size));
  });
  return at(
    decibels.sort((a, b) => a - b),
    Math.floor(samples / 2),
  );
}
