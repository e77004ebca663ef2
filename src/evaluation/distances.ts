/** @file Squared Euclidean distances of all pairs, tile by tile, in float64 or with float16's rounding. */

import { float32At, floatAt, take } from '../at.ts';
import type { Program } from '../runtime/device.ts';
import { float16ToFloat32, float32ToFloat16 } from '../tensor/convert.ts';
import { tensor } from '../tensor/tensor.ts';
import { type Features, forEachTile, type Tile, type TileOptions } from './products.ts';

/** Points between which distances are taken, and |x|^2 of each with the centre subtracted. */
export type Points = ReturnType<typeof pointsOf>;

/** How distances are computed. */
export interface Metric {
  /** Subtracted from all points, so that little is lost to rounding where they are far from the origin. */
  readonly centre?: Float64Array;
  /**
   * Round points, squares, products and distances to float16, as the ADM evaluator does: near 300 they are then
   * multiples of 1/4, which gives more neighbours. A tile with an overflow is computed without.
   */
  readonly half?: boolean;
}

/** Prepare a set's points for distances. */
export function pointsOf(features: Features, { centre, half = false }: Metric) {
  const rounded = half ? tensor('float32', features.shape, toHalf(features.data)) : features;
  const [n, dims] = take(rounded.shape, 2);
  const squares = new Float64Array(n);
  for (let i = 0; i < n; i++) {
    let sum = 0;
    for (let d = 0; d < dims; d++) sum += (floatAt(rounded.data, i * dims + d) - (centre?.[d] ?? 0)) ** 2;
    squares[i] = sum;
  }
  return { features: rounded, squares };
}

/** Visit the squared distances (N, M) between two sets. See {@link forEachTile}. */
export async function forEachDistance(
  program: Program,
  a: Points,
  b: Points,
  metric: Metric,
  options: Omit<TileOptions, 'centre'>,
  visit: (tile: Tile) => void,
): Promise<void> {
  await forEachTile(program, a.features, b.features, { ...options, centre: metric.centre }, (tile) => {
    const values = metric.half && halfDistances(tile, a.squares, b.squares);
    if (!values) toDistances(tile, a.squares, b.squares);
    visit(values ? { ...tile, values } : tile);
  });
}

/** Below this share of |x|^2 + |y|^2 a squared distance is a rounding error of 0. */
const ZERO = 2 ** -40;

/** Turn a tile of products into squared distances, in place. */
function toDistances({ row, column, rows, columns, values }: Tile, a: Float64Array, b: Float64Array): void {
  for (let i = 0; i < rows; i++) {
    for (let j = 0; j < columns; j++) {
      const squares = a[row + i]! + b[column + j]!;
      const distance = squares - 2 * values[i * columns + j]!;
      values[i * columns + j] = distance > ZERO * squares ? distance : 0;
    }
  }
}

/** The same as float16 has it: max(|x|^2 - 2 x.y + |y|^2, 0), every step rounded; undefined if one overflows. */
function halfDistances(
  { row, column, rows, columns, values }: Tile,
  a: Float64Array,
  b: Float64Array,
): Float64Array | undefined {
  const [left, right] = [toHalf(a.subarray(row, row + rows)), toHalf(b.subarray(column, column + columns))];
  const products = toHalf(values);
  const differences = toHalf(
    products.map((product, i) => float32At(left, Math.floor(i / columns)) - 2 * product),
  );
  const distances = toHalf(differences.map((difference, i) => difference + float32At(right, i % columns)));
  const overflows = !distances.every(Number.isFinite);
  return overflows ? undefined : Float64Array.from(distances, (distance) => Math.max(distance, 0));
}

function toHalf(values: Float32Array | Float64Array): Float32Array {
  return float16ToFloat32(float32ToFloat16(Float32Array.from(values)));
}
