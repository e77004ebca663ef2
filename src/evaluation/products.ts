/**
 * @file Matrix products in double precision on a device, tile by tile. Statistics of features are small differences of
 * large sums, of which float32 would leave little; and all pairs of 50,000 samples would take 20 GB at once.
 */

import { setImmediate } from 'node:timers/promises';
import { at, float64At, take } from '../at.ts';
import { applyOne, input, type Shape, type SymbolicTensor } from '../graph/symbolic.ts';
import { closingAfter } from '../io/byte-source.ts';
import type { Device, Program } from '../runtime/device.ts';
import { type Tensor, tensor } from '../tensor/tensor.ts';

/** Rows of features (N, D). */
export type Features = Tensor<'float32'> | Tensor<'float64'>;

/** What long computations take. */
export interface WorkOptions {
  readonly signal?: AbortSignal | undefined;
  /** Gets the share of the work that is done, 0 to 1. */
  readonly onProgress?: ((done: number) => void) | undefined;
}

export interface ProductTerms {
  readonly a: SymbolicTensor;
  readonly b: SymbolicTensor;
  readonly transposeA?: boolean;
  readonly transposeB?: boolean;
  /** Factor of the product; default 1. */
  readonly alpha?: number;
  /** A matrix that the product is added to. */
  readonly onto?: SymbolicTensor;
  /** Factor of that matrix; default 1. */
  readonly beta?: number;
}

/** alpha a b + beta onto, in float64. */
export function product64(terms: ProductTerms): SymbolicTensor {
  const { a, b, transposeA = false, transposeB = false, alpha = 1, onto, beta = 1 } = terms;
  return applyOne({
    operator: 'Gemm',
    inputs: onto ? [a, b, onto] : [a, b],
    attributes: {
      transA: Number(transposeA),
      transB: Number(transposeB),
      alpha: { float: alpha },
      beta: { float: beta },
    },
    shape: [at(a.shape, transposeA ? 1 : 0), at(b.shape, transposeB ? 0 : 1)],
  });
}

/** A float64 matrix that a program is fed with. */
export function input64(name: string, shape: Shape): SymbolicTensor {
  return input(name, shape, 'float64');
}

/** Row-major data as a matrix; `data` may be longer than the matrix. */
export function matrix64(rows: number, columns: number, data: Float64Array): Tensor<'float64'> {
  return tensor('float64', [rows, columns], data.subarray(0, rows * columns));
}

/** Rows `start` to `start + count` in float64, each less `centre`, in `room`. */
export function copyRows(
  { shape, data }: Features,
  start: number,
  count: number,
  room: Float64Array,
  centre?: Float64Array,
): Tensor<'float64'> {
  const dims = at(shape, 1);
  const rows = data.subarray(start * dims, (start + count) * dims);
  room.set(rows);
  if (centre) {
    for (let row = 0; row < rows.length; row += dims) {
      for (let d = 0; d < dims; d++) room[row + d] = float64At(room, row + d) - float64At(centre, d);
    }
  }
  return matrix64(count, dims, room);
}

/** Products of some rows of one set with some of another. */
export interface Tile {
  /** Index of the first row in the first set, and in the second. */
  readonly row: number;
  readonly column: number;
  readonly rows: number;
  readonly columns: number;
  /** Row-major (rows, columns); overwritten when the visit ends. */
  readonly values: Float64Array;
}

/** Rows of a tile; three matrices of this many rows and 2048 dimensions take 100 MB. */
export const TILE_ROWS = 2048;

export interface TileOptions extends WorkOptions {
  /** Subtracted from every row first. */
  readonly centre?: Float64Array | undefined;
  /** The sets are the same: visit no tile below the diagonal. */
  readonly symmetric?: boolean;
  readonly tileRows?: number | undefined;
}

/** Do some work with the program that {@link forEachTile} runs, for features of some dimensions. */
export async function withTileProgram<T>(
  device: Device,
  dims: number,
  work: (program: Program) => Promise<T>,
): Promise<T> {
  const [a, b] = [input64('a', ['rows', dims]), input64('b', ['columns', dims])];
  const product = product64({ a, b, transposeB: true });
  return closingAfter(await device.compile({ inputs: [a, b], outputs: { product } }), work);
}

/** Visit all inner products of the rows of `a` with those of `b`, tile by tile: (N, D), (M, D) -> tiles of (N, M). */
export async function forEachTile(
  program: Program,
  a: Features,
  b: Features,
  options: TileOptions,
  visit: (tile: Tile) => void,
): Promise<void> {
  const { centre, symmetric = false, tileRows = TILE_ROWS, signal, onProgress } = options;
  const [[n, dims], m] = [take(a.shape, 2), at(b.shape, 0)];
  const room = (matrixRows: number, columns: number) =>
    new Float64Array(Math.min(matrixRows, tileRows) * columns);
  const [left, right, values] = [room(n, dims), room(m, dims), room(n, Math.min(m, tileRows))];
  for (let row = 0; row < n; row += tileRows) {
    const rows = Math.min(tileRows, n - row);
    const feed = copyRows(a, row, rows, left, centre);
    for (let column = symmetric ? row : 0; column < m; column += tileRows) {
      await setImmediate(); // let signals and progress through
      signal?.throwIfAborted();
      const columns = Math.min(tileRows, m - column);
      const into = { product: matrix64(rows, columns, values) };
      await program.run({ a: feed, b: copyRows(b, column, columns, right, centre) }, into);
      visit({ row, column, rows, columns, values: into.product.data });
    }
    const remaining = (n - row - rows) / n;
    onProgress?.(1 - (symmetric ? remaining ** 2 : remaining));
  }
}

/** Returns some rows of features (N, D) in float64, in the given order. */
export function pickRows({ shape, data }: Features, rows: ArrayLike<number>): Tensor<'float64'> {
  const dims = at(shape, 1);
  const out = new Float64Array(rows.length * dims);
  for (let i = 0; i < rows.length; i++) {
    const start = at(rows, i) * dims;
    out.set(data.subarray(start, start + dims), i * dims);
  }
  return tensor('float64', [rows.length, dims], out);
}

/** Options of three passes, over pairs in a set of n, in one of m, and between both; their progress is put together. */
export function pairStages(n: number, m: number, { signal, onProgress }: WorkOptions) {
  const pairs = [(n * n) / 2, (m * m) / 2, n * m] as const;
  const total = pairs[0] + pairs[1] + pairs[2];
  return (stage: 0 | 1 | 2): WorkOptions => ({
    signal,
    onProgress: (done) =>
      onProgress?.((pairs.slice(0, stage).reduce((a, b) => a + b, 0) + done * pairs[stage]) / total),
  });
}
