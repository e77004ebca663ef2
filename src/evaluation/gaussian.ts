/** @file Mean and covariance of features, accumulated in float64. */

import { setImmediate } from 'node:timers/promises';
import { ArgumentError } from '../errors.ts';
import type { Device } from '../runtime/device.ts';
import {
  copyRows,
  type Features,
  input64,
  matrix64,
  product64,
  TILE_ROWS,
  type WorkOptions,
} from './products.ts';

/** The Gaussian that a Fréchet distance takes features for. */
export interface Gaussian {
  /** (D) */
  readonly mean: Float64Array;
  /** (D, D) row-major, with the divisor N - 1. */
  readonly covariance: Float64Array;
}

/** Mean of the rows: (N, D) -> (D). */
export function meanOf({ shape: [n, dims], data }: Features): Float64Array {
  const sum = new Float64Array(dims);
  for (let at = 0; at < n * dims; at += dims) for (let d = 0; d < dims; d++) sum[d] += data[at + d];
  return sum.map((value) => value / n);
}

/**
 * Mean and covariance of rows (N, D), as `numpy.cov` has it.
 * @throws {ArgumentError} if there are fewer than two rows.
 */
export async function gaussianOf(
  device: Device,
  features: Features,
  { signal, onProgress }: WorkOptions = {},
): Promise<Gaussian> {
  const [n, dims] = features.shape;
  if (n < 2) throw new ArgumentError(`gaussianOf: a covariance needs at least 2 samples, got ${n}`);
  const mean = meanOf(features);
  const rows = input64('rows', ['count', dims]);
  const sum = input64('sum', [dims, dims]);
  const scatter = product64({ a: rows, b: rows, transposeA: true, onto: sum });
  const program = await device.compile({ inputs: [rows, sum], outputs: { scatter } });
  try {
    const room = new Float64Array(Math.min(n, TILE_ROWS) * dims);
    let total = matrix64(dims, dims, new Float64Array(dims * dims));
    let next = matrix64(dims, dims, new Float64Array(dims * dims));
    for (let start = 0; start < n; start += TILE_ROWS) {
      await setImmediate(); // let signals and progress through
      signal?.throwIfAborted();
      const count = Math.min(TILE_ROWS, n - start);
      await program.run(
        { rows: copyRows(features, start, count, room, mean), sum: total },
        { scatter: next },
      );
      [total, next] = [next, total];
      onProgress?.((start + count) / n);
    }
    return { mean, covariance: total.data.map((value) => value / (n - 1)) };
  } finally {
    await program.dispose();
  }
}
