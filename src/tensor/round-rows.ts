/** @file Matrices whose rows are rounded to integers, each row with a scale. */

import { at } from '../at.ts';
import { ArgumentError } from '../errors.ts';
import { float32, type Tensor, tensor } from './tensor.ts';

/** A matrix (N, K) as integers times a scale for each row. */
export interface RoundedMatrix {
  /** (N, K). */
  readonly values: Tensor<'int8'>;
  /** (N). */
  readonly scales: Tensor<'float32'>;
}

/** A matrix that was rounded. */
export interface RoundingResult extends RoundedMatrix {
  /** Whether a row has values so large that many of its others became 0. */
  readonly hasOutliers: boolean;
}

/** A row has outliers if more than this share of its values became 0, which were not 0 before. */
const LOST_SHARE = 0.25;

/**
 * Rounds each row to integers whose largest magnitude is 127, or 63 for 7 bits.
 * @param name of the matrix, for errors
 * @throws {ArgumentError} if a value is not finite
 */
export function roundMatrix(
  name: string,
  { shape, data }: Tensor<'float32'>,
  bits: 8 | 7 = 8,
): RoundingResult {
  const [rows, columns] = [at(shape, 0), at(shape, 1)];
  const most = 2 ** (bits - 1) - 1;
  const values = new Int8Array(rows * columns);
  const scales = new Float32Array(rows);
  let hasOutliers = false;
  for (let row = 0; row < rows; row++) {
    const start = row * columns;
    const largest = largestMagnitude(data, start, start + columns);
    if (!Number.isFinite(largest)) {
      throw new ArgumentError(`int8: '${name}' has a value that is not finite; such a model makes no images`);
    }
    scales[row] = largest / most || 1;
    const factor = 1 / (scales[row] as number);
    let lost = 0;
    for (let i = start; i < start + columns; i++) {
      // The scale is rounded too, so the largest magnitude may come out a little above `most`, but rounds to it.
      // Math.round takes four times as long.
      const rounded = Math.floor((data[i] as number) * factor + 0.5);
      values[i] = rounded;
      if (rounded === 0 && data[i] !== 0) lost++;
    }
    hasOutliers ||= lost > LOST_SHARE * columns;
  }
  return { values: tensor('int8', shape, values), scales: float32([rows], scales), hasOutliers };
}

/** NaN if any value is NaN. */
function largestMagnitude(data: Float32Array, start: number, end: number): number {
  let largest = 0;
  for (let i = start; i < end; i++) {
    const magnitude = Math.abs(data[i] as number);
    if (!(magnitude <= largest)) largest = magnitude;
    if (Number.isNaN(largest)) return largest;
  }
  return largest;
}

/** The matrix in float32. Rounded again, it gives the same integers. @param into memory for it */
export function unroundedMatrix(
  { values, scales }: RoundedMatrix,
  into: Float32Array = new Float32Array(values.data.length),
): Tensor<'float32'> {
  const columns = at(values.shape, 1);
  for (const [row, scale] of scales.data.entries()) {
    for (let i = row * columns; i < (row + 1) * columns; i++) into[i] = (values.data[i] as number) * scale;
  }
  return float32(values.shape, into);
}
