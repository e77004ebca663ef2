/**
 * @file The kernel distance: the unbiased estimate of MMD^2 with the kernel (x.y / D + 1)^3. On the features of the FID
 * network it is the KID (Bińkowski et al. 2018). It may be slightly negative, as an estimate of the distance between the
 * distributions that two sets of samples are drawn from; the distance of a set from itself is 0.
 */

import { createHash } from 'node:crypto';
import { at, take } from '../at.ts';
import { ArgumentError } from '../errors.ts';
import type { Device, Program } from '../runtime/device.ts';
import { Generator } from '../tensor/generator.ts';
import {
  type Features,
  forEachTile,
  pairStages,
  pickRows,
  type WorkOptions,
  withTileProgram,
} from './products.ts';

/** Random subsets, as in the paper. */
export const KID_SUBSETS = 100;
/** Samples of each set per subset, as in the paper. */
export const KID_SUBSET_SIZE = 1000;

export interface KernelDistanceOptions extends WorkOptions {
  /** Number of random subsets; 0 takes all samples at once (default: 100). */
  readonly subsets?: number | undefined;
  /** Samples of each set per subset, at most as many as the smaller set has (default: 1000). */
  readonly subsetSize?: number | undefined;
  /** Seed of the choice of subsets (default: 0). */
  readonly seed?: number | undefined;
}

/** The kernel distance of two sets (KID), as a mean over subsets. */
export interface KernelDistance {
  readonly mean: number;
  /** Standard deviation over the subsets; 0 of all samples at once. */
  readonly deviation: number;
}

/**
 * Kernel distance of two sets of features (N, D) and (M, D).
 * @throws {ArgumentError} if a set or a subset has fewer than two samples.
 */
export async function kernelDistance(
  device: Device,
  a: Features,
  b: Features,
  options: KernelDistanceOptions = {},
): Promise<KernelDistance> {
  const { subsets = KID_SUBSETS, subsetSize = KID_SUBSET_SIZE, seed = 0, signal, onProgress } = options;
  const [n, m] = [at(a.shape, 0), at(b.shape, 0)];
  const size = Math.min(subsets === 0 ? Number.POSITIVE_INFINITY : subsetSize, n, m);
  if (size < 2) throw new ArgumentError(`kernelDistance: needs at least 2 samples of each set, got ${size}`);
  if (sameSamples(a, b)) return { mean: 0, deviation: 0 };
  return withTileProgram(device, at(a.shape, 1), async (program) => {
    if (subsets === 0) return { mean: await squaredMmd(program, a, b, options), deviation: 0 };
    const generator = new Generator(seed);
    const values: number[] = [];
    for (let i = 0; i < subsets; i++) {
      const [x, y] = [draw(a, size, generator), draw(b, size, generator)];
      values.push(await squaredMmd(program, x, y, { signal }));
      onProgress?.((i + 1) / subsets);
    }
    const mean = values.reduce((sum, value) => sum + value, 0) / subsets;
    const variance = values.reduce((sum, value) => sum + (value - mean) ** 2, 0) / subsets;
    return { mean, deviation: Math.sqrt(variance) };
  });
}

/** Checks whether two sets have the same rows, in any order. */
function sameSamples(a: Features, b: Features): boolean {
  if (a === b) return true;
  if (a.shape.join() !== b.shape.join()) return false;
  const rows = new Map<string, number>();
  for (const key of rowKeys(a)) rows.set(key, (rows.get(key) ?? 0) + 1);
  for (const key of rowKeys(b)) {
    const left = rows.get(key) ?? 0;
    if (left === 0) return false;
    rows.set(key, left - 1);
  }
  return true;
}

/** Returns a text for each row; equal values have equal texts in any stored precision. */
function* rowKeys({ shape, data }: Features): Iterable<string> {
  const [n, dims] = take(shape, 2);
  for (let i = 0; i < n; i++) {
    const row = Float64Array.from(data.subarray(i * dims, (i + 1) * dims));
    yield createHash('sha256').update(new Uint8Array(row.buffer)).digest('base64');
  }
}

async function squaredMmd(program: Program, a: Features, b: Features, options: WorkOptions): Promise<number> {
  const [n, m] = [at(a.shape, 0), at(b.shape, 0)];
  const stages = pairStages(n, m, options);
  const within = await kernelSum(program, a, a, stages(0));
  const withinOther = await kernelSum(program, b, b, stages(1));
  const between = await kernelSum(program, a, b, stages(2));
  return within / (n * (n - 1)) + withinOther / (m * (m - 1)) - (2 * between) / (n * m);
}

/** Sum of the kernel over all pairs; within one set, over those of different samples. */
async function kernelSum(program: Program, a: Features, b: Features, options: WorkOptions): Promise<number> {
  const dims = at(a.shape, 1);
  const symmetric = a === b;
  let sum = 0;
  await forEachTile(program, a, b, { ...options, symmetric }, ({ row, column, rows, columns, values }) => {
    for (let i = 0; i < rows; i++) {
      const first = symmetric && row === column ? i + 1 : 0;
      for (let j = first; j < columns; j++) {
        const base = values[i * columns + j]! / dims + 1;
        sum += base * base * base;
      }
    }
  });
  return symmetric ? 2 * sum : sum;
}

/** Some different rows, in random order. */
function draw(features: Features, size: number, generator: Generator): Features {
  return pickRows(features, generator.randperm(at(features.shape, 0)).subarray(0, size));
}
