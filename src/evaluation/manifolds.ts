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
import { type Features, type Tile, type WorkOptions, withTileProgram } from './products.ts';

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
  readonly tileRows?: number;
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
    const stages = stagesOf(n, m, options);
    const realNearest = await nearest(program, real, neighbours, metric, stages(0));
    const fakeNearest = await nearest(program, fake, k, metric, stages(1));
    const radii = { real: realNearest(k), fake: fakeNearest(k), density: realNearest(densityNeighbour) };
    const counts = {
      precise: new Uint8Array(m),
      recalled: new Uint8Array(n),
      covered: new Uint8Array(n),
      inBalls: 0,
    };
    await forEachDistance(program, real, fake, metric, stages(2), (tile) => count(tile, radii, counts));
    return {
      precision: mean(counts.precise),
      recall: mean(counts.recalled),
      density: counts.inBalls / (densityNeighbour * m),
      coverage: mean(counts.covered),
    };
  });
}

/** Squared radii of the balls. */
interface Radii {
  readonly real: Float64Array;
  readonly fake: Float64Array;
  readonly density: Float64Array;
}

/** Flags of reference points and of samples. */
interface Counts {
  readonly precise: Uint8Array;
  readonly recalled: Uint8Array;
  readonly covered: Uint8Array;
  inBalls: number;
}

function count({ row, column, rows, columns, values }: Tile, radii: Radii, counts: Counts): void {
  for (let i = 0; i < rows; i++) {
    const real = row + i;
    const [radius, densityRadius] = [float64At(radii.real, real), float64At(radii.density, real)];
    for (let j = 0; j < columns; j++) {
      const distance = values[i * columns + j]!;
      if (distance <= radius) counts.precise[column + j] = 1;
      if (distance <= radii.fake[column + j]!) counts.recalled[real] = 1;
      if (distance < densityRadius) {
        counts.inBalls++;
        counts.covered[real] = 1;
      }
    }
  }
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

/** The options of three passes over pairs, whose progress is put together. */
function stagesOf(n: number, m: number, { signal, onProgress, tileRows }: ManifoldOptions) {
  const pairs = [(n * n) / 2, (m * m) / 2, n * m] as const;
  const total = pairs[0] + pairs[1] + pairs[2];
  return (stage: number) => ({
    signal,
    ...(tileRows !== undefined && { tileRows }),
    onProgress: (done: number) =>
      onProgress?.((pairs.slice(0, stage).reduce((a, b) => a + b, 0) + done * at(pairs, stage)) / total),
  });
}

function mean(flags: Uint8Array): number {
  return flags.reduce((sum, flag) => sum + flag, 0) / flags.length;
}
