/** @file What two sets of features look like, to be drawn: their nearest neighbours, and a plane to see them in. */

import { at, float32At, float64At, floatAt } from '../at.ts';
import type { Device } from '../runtime/device.ts';
import { Generator } from '../tensor/generator.ts';
import type { Tensor } from '../tensor/tensor.ts';
import { forEachDistance, type Points, pointsOf } from './distances.ts';
import type { PerSet } from './evaluation-set.ts';
import { meanOf } from './gaussian.ts';
import { type Features, pickRows, type WorkOptions, withTileProgram } from './products.ts';

/** At most `most` rows, evenly spread. */
export function someRows(features: Features, most: number): Tensor<'float64'> {
  const n = at(features.shape, 0);
  const count = Math.min(n, most);
  const rows = Array.from({ length: count }, (_, i) => Math.floor((i * n) / count));
  return pickRows(features, rows);
}

/**
 * Returns the Euclidean distance of each sample, and of each reference point, to the nearest (other) reference point: the
 * latter are what samples as good as the reference would have.
 */
export async function nearestDistances(
  device: Device,
  reference: Features,
  samples: Features,
  options: WorkOptions = {},
): Promise<PerSet<Float64Array>> {
  const metric = { centre: meanOf(reference) };
  const [real, fake] = [pointsOf(reference, metric), pointsOf(samples, metric)];
  return withTileProgram(device, at(reference.shape, 1), async (program) => {
    const nearest = async (points: Points, ofItself: boolean): Promise<Float64Array> => {
      const smallest = new Float64Array(points.squares.length).fill(Number.POSITIVE_INFINITY);
      await forEachDistance(program, points, real, metric, options, (tile) => {
        const { row, column, rows, columns, values } = tile;
        for (let i = 0; i < rows; i++) {
          for (let j = 0; j < columns; j++) {
            const isItself = ofItself && row + i === column + j;
            if (isItself) continue;
            smallest[row + i] = Math.min(float64At(smallest, row + i), floatAt(values, i * columns + j));
          }
        }
      });
      return smallest.map(Math.sqrt);
    };
    return { samples: await nearest(fake, false), reference: await nearest(real, true) };
  });
}

const ITERATIONS = 60;

/**
 * Both sets in the plane in which they vary most: the first two principal components of all points together, found by
 * repeated products with their covariance. The larger coordinates of each axis point to the right and up.
 * @returns the points, (n, 2) and (m, 2) row by row, and the shares of the variance of both sets together along each axis.
 */
export function projectToPlane(reference: Features, samples: Features) {
  const dims = at(reference.shape, 1);
  const centred = centredRows([reference, samples]);
  const [first, second] = principalAxes(centred, dims);
  const total = centred.reduce((sum, value) => sum + value ** 2, 0);
  const along = (axis: Float64Array): Float64Array => products(centred, dims, axis);
  const [x, y] = [along(first), along(second)];
  const share = (values: Float64Array): number =>
    total > 0 ? values.reduce((sum, value) => sum + value ** 2, 0) / total : 0;
  const points = (start: number, end: number): Float64Array =>
    Float64Array.from({ length: 2 * (end - start) }, (_, i) =>
      float64At(i % 2 === 0 ? x : y, start + (i >> 1)),
    );
  const [n, m] = [at(reference.shape, 0), at(samples.shape, 0)];
  return { reference: points(0, n), samples: points(n, n + m), shares: [share(x), share(y)] as const };
}

/** The rows of all sets, less their common mean. */
function centredRows([a, b]: readonly [Features, Features]): Float64Array {
  const dims = at(a.shape, 1);
  const rows = new Float64Array(a.data.length + b.data.length);
  rows.set(a.data);
  rows.set(b.data, a.data.length);
  const mean = meanOf({ shape: [rows.length / dims, dims], data: rows });
  return rows.map((value, i) => value - float64At(mean, i % dims));
}

function principalAxes(rows: Float64Array, dims: number): [Float64Array, Float64Array] {
  const start = Generator.seeded(0);
  const random = (): Float64Array => Float64Array.from({ length: dims }, () => float32At(start.randn(1), 0));
  let [first, second] = [unit(random()), unit(random())];
  for (let i = 0; i < ITERATIONS; i++) {
    first = unit(transposedProducts(rows, dims, products(rows, dims, first)));
    second = unit(without(transposedProducts(rows, dims, products(rows, dims, second)), first));
  }
  return [upright(first), upright(second)];
}

/** X v: (n). */
function products(rows: Float64Array, dims: number, vector: Float64Array): Float64Array {
  const out = new Float64Array(rows.length / dims);
  for (let i = 0; i < out.length; i++) {
    let sum = 0;
    for (let d = 0; d < dims; d++) sum += float64At(rows, i * dims + d) * float64At(vector, d);
    out[i] = sum;
  }
  return out;
}

/** X' u: (D). */
function transposedProducts(rows: Float64Array, dims: number, weights: Float64Array): Float64Array {
  const out = new Float64Array(dims);
  for (const [i, weight] of weights.entries()) {
    for (let d = 0; d < dims; d++) out[d] = float64At(out, d) + float64At(rows, i * dims + d) * weight;
  }
  return out;
}

/** A vector less its part along another of length 1. */
function without(vector: Float64Array, axis: Float64Array): Float64Array {
  const along = vector.reduce((sum, value, d) => sum + value * float64At(axis, d), 0);
  return vector.map((value, d) => value - along * float64At(axis, d));
}

/** Scales a vector to length 1; a vector of zeros stays one. */
function unit(vector: Float64Array): Float64Array {
  const length = Math.sqrt(vector.reduce((sum, value) => sum + value ** 2, 0));
  return length > 0 ? vector.map((value) => value / length) : vector;
}

/** An axis or its opposite: that whose largest coordinate is positive. */
function upright(axis: Float64Array): Float64Array {
  const largest = axis.reduce((best, value) => (Math.abs(value) > Math.abs(best) ? value : best), 0);
  return largest < 0 ? axis.map((value) => -value) : axis;
}
