/**
 * @file How much two sets of features cover each other, by nearest neighbours. Each set's manifold is the union of balls
 * around its points, which reach to the k-th neighbour in that set.
 *
 * - precision and recall (Kynkäänniemi et al. 2019): the share of samples in the reference's manifold, and of the
 *   reference in the samples';
 * - density and coverage (Naeem et al. 2020): how many of the reference's balls a sample is in, over k; and the share of
 *   the reference's balls with a sample in it.
 *
 * As in the code of the papers, a ball's edge is inside for the first two and outside for the last.
 */

import { at, float64At } from '../at.ts';
import { ArgumentError } from '../errors.ts';
import type { Device, Program } from '../runtime/device.ts';
import { forEachDistance, type Metric, type Points, pointsOf } from './distances.ts';
import { meanOf } from './gaussian.ts';
import { type Features, pairStages, type WorkOptions, withTileProgram } from './products.ts';

/** The neighbour that ADM's evaluator takes. */
export const PRECISION_NEIGHBOUR = 3;
/** The neighbour of the paper on density and coverage. */
export const DENSITY_NEIGHBOUR = 5;

/** How far two sets cover each other, by balls around nearest neighbours. */
export interface Manifolds {
  readonly precision: number;
  readonly recall: number;
  /** May exceed 1. */
  readonly density: number;
  readonly coverage: number;
}

export interface ManifoldOptions extends WorkOptions {
  /** The k of precision and recall; default 3. */
  readonly precisionNeighbour?: number | undefined;
  /** The k of density and coverage; default 5. */
  readonly densityNeighbour?: number | undefined;
  /** Round to float16 as the ADM evaluator does. Default false. */
  readonly half?: boolean | undefined;
  readonly tileRows?: number | undefined;
}

/**
 * Precision, recall, density and coverage of samples (M, D) against a reference (N, D).
 * @throws {ArgumentError} if a set has no k-th neighbours.
 */
export async function compareManifolds(
  device: Device,
  reference: Features,
  samples: Features,
  options: ManifoldOptions = {},
): Promise<Manifolds> {
  const { precisionNeighbour: k = PRECISION_NEIGHBOUR, densityNeighbour = DENSITY_NEIGHBOUR, half } = options;
  const neighbours = Math.max(k, densityNeighbour);
  const fewest = Math.min(at(reference.shape, 0), at(samples.shape, 0));
  if (k < 1 || densityNeighbour < 1 || fewest <= neighbours) {
    throw new ArgumentError(
      `compareManifolds: needs a neighbour of at least 1 and more samples than that, got neighbour ${neighbours} of ${fewest}`,
    );
  }
  return withTileProgram(device, at(reference.shape, 1), async (program) => {
    const metric: Metric = half ? { half } : { centre: meanOf(reference) };
    const [real, fake] = [pointsOf(reference, metric), pointsOf(samples, metric)];
    const [n, m] = [real.squares.length, fake.squares.length];
    const stages = pairStages(n, m, options);
    const pass = (stage: 0 | 1 | 2) => ({ tileRows: options.tileRows, ...stages(stage) });
    const realNearest = await nearest(program, real, neighbours, metric, pass(0));
    const fakeNearest = await nearest(program, fake, k, metric, pass(1));
    // Squared radii of the balls.
    const [radii, fakeRadii, densityRadii] = [realNearest(k), fakeNearest(k), realNearest(densityNeighbour)];
    const [precise, recalled, covered] = [new Uint8Array(m), new Uint8Array(n), new Uint8Array(n)];
    let inBalls = 0;
    await forEachDistance(program, real, fake, metric, pass(2), (tile) => {
      const { row, column, rows, columns, values } = tile;
      for (let i = 0; i < rows; i++) {
        const [radius, densityRadius] = [float64At(radii, row + i), float64At(densityRadii, row + i)];
        for (let j = 0; j < columns; j++) {
          const distance = values[i * columns + j]!;
          if (distance <= radius) precise[column + j] = 1;
          if (distance <= fakeRadii[column + j]!) recalled[row + i] = 1;
          if (distance >= densityRadius) continue;
          inBalls++;
          covered[row + i] = 1;
        }
      }
    });
    return {
      precision: mean(precise),
      recall: mean(recalled),
      density: inBalls / (densityNeighbour * m),
      coverage: mean(covered),
    };
  });
}

/** For each point the squared distances to its nearest others; the result gives those to the k-th. */
async function nearest(
  program: Program,
  points: Points,
  neighbours: number,
  metric: Metric,
  options: WorkOptions,
): Promise<(k: number) => Float64Array> {
  const n = points.squares.length;
  // Ascending rows of distances: to the point itself, which is 0, and to its neighbours.
  const width = neighbours + 1;
  const smallest = new Float64Array(n * width).fill(Number.POSITIVE_INFINITY);
  const insert = (point: number, distance: number): void => {
    let place = point * width + neighbours;
    if (distance >= smallest[place]!) return;
    for (; place > point * width && smallest[place - 1]! > distance; place--)
      smallest[place] = smallest[place - 1]!;
    smallest[place] = distance;
  };
  await forEachDistance(program, points, points, metric, { ...options, symmetric: true }, (tile) => {
    const { row, column, rows, columns, values } = tile;
    for (let i = 0; i < rows; i++) {
      for (let j = 0; j < columns; j++) {
        const distance = values[i * columns + j]!;
        insert(row + i, distance);
        if (row !== column) insert(column + j, distance);
      }
    }
  });
  return (k) => Float64Array.from({ length: n }, (_, point) => float64At(smallest, point * width + k));
}

function mean(flags: Uint8Array): number {
  return flags.reduce((sum, flag) => sum + flag, 0) / flags.length;
}
