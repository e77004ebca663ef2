/** @file Mean and covariance of features, accumulated in float64. */

import { setImmediate } from 'node:timers/promises';
import { at, float64At, floatAt, take } from '../at.ts';
import { ArgumentError } from '../errors.ts';
import { closingAfter } from '../io/byte-source.ts';
import type { Device } from '../runtime/device.ts';
import { type Features, input64, matrix64, product64, TILE_ROWS, type WorkOptions } from './products.ts';

/** The Gaussian that a Fréchet distance takes features for. */
export interface Gaussian {
  /** (D) */
  readonly mean: Float64Array;
  /** (D, D) row-major, with the divisor N - 1. */
  readonly covariance: Float64Array;
}

/** Mean of the rows: (N, D) -> (D). */
export function meanOf({ shape, data }: Pick<Features, 'shape' | 'data'>): Float64Array {
  const [n, dims] = take(shape, 2);
  const sum = new Float64Array(dims);
  for (let row = 0; row < n * dims; row += dims) {
    for (let d = 0; d < dims; d++) sum[d] = float64At(sum, d) + floatAt(data, row + d);
  }
  return sum.map((value) => value / n);
}

/**
 * Begin a Gaussian of rows that need not be there at once. The sums are of differences from the mean of the first rows,
 * so that little is lost where values are far from 0.
 * @param rowsAtOnce rows that are put by and added together, which is faster.
 */
export async function gaussianSums(device: Device, dims: number, rowsAtOnce = TILE_ROWS) {
  const [rows, sum] = [input64('rows', ['count', dims]), input64('sum', [dims, dims])];
  const scatter = product64({ a: rows, b: rows, transposeA: true, onto: sum });
  const program = await device.compile({ inputs: [rows, sum], outputs: { scatter } });
  const room = new Float64Array(rowsAtOnce * dims);
  const differences = new Float64Array(dims);
  let total = matrix64(dims, dims, new Float64Array(dims * dims));
  let next = matrix64(dims, dims, new Float64Array(dims * dims));
  let centre: Float64Array | undefined;
  let [waiting, count] = [0, 0];
  const flush = async (): Promise<void> => {
    const block = matrix64(waiting, dims, room);
    centre ??= meanOf(block);
    for (let row = 0; row < waiting * dims; row += dims) {
      for (let d = 0; d < dims; d++) {
        const difference = float64At(block.data, row + d) - float64At(centre, d);
        block.data[row + d] = difference;
        differences[d] = float64At(differences, d) + difference;
      }
    }
    await program.run({ rows: block, sum: total }, { scatter: next });
    [total, next] = [next, total];
    count += waiting;
    waiting = 0;
  };
  return {
    /** Count some rows (N, D) in, which may be overwritten afterwards. */
    async add({ shape, data }: Features): Promise<void> {
      const n = at(shape, 0);
      for (let start = 0; start < n; ) {
        const taken = Math.min(n - start, rowsAtOnce - waiting);
        room.set(data.subarray(start * dims, (start + taken) * dims), waiting * dims);
        waiting += taken;
        start += taken;
        if (waiting === rowsAtOnce) await flush();
      }
    },
    /** @throws {ArgumentError} if there were fewer than two rows. */
    async finish(): Promise<Gaussian> {
      if (waiting > 0) await flush();
      if (!centre || count < 2) {
        throw new ArgumentError(`gaussianSums: a covariance needs at least 2 samples, got ${count}`);
      }
      const shift = differences.map((difference) => difference / count);
      const mean = shift.map((value, d) => value + float64At(centre!, d));
      const covariance = total.data.map((value, place) => {
        const [i, j] = [Math.floor(place / dims), place % dims];
        return (value - count * float64At(shift, i) * float64At(shift, j)) / (count - 1);
      });
      return { mean, covariance };
    },
    dispose: () => program.dispose(),
  };
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
  const [n, dims] = take(features.shape, 2);
  const rows = Math.min(Math.max(n, 1), TILE_ROWS);
  return closingAfter(await gaussianSums(device, dims, rows), async (sums) => {
    for (let start = 0; start < n; start += TILE_ROWS) {
      await setImmediate(); // let signals and progress through
      signal?.throwIfAborted();
      const count = Math.min(TILE_ROWS, n - start);
      const data = features.data.subarray(start * dims, (start + count) * dims);
      await sums.add({ ...features, shape: [count, dims], data } as Features);
      onProgress?.((start + count) / n);
    }
    return sums.finish();
  });
}
