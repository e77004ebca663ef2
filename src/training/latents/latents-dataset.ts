/**
 * @file A set of latents as a dataset. Nothing but the index is read to open it, and a sample is one short range of a
 * shard. A sample is drawn anew each time: z = mean + exp(log variance / 2) noise, times the scaling factor.
 */

import { stat } from 'node:fs/promises';
import { ConfigError, DatasetError, FormatError } from '../../errors.ts';
import type { Generator } from '../../tensor/generator.ts';
import type { Dataset } from '../datasets/dataset.ts';
import type { Split } from '../datasets/idx-dataset.ts';
import { finishedCounts, type LatentsIndex, readIndex, shardCount, shardFile } from './index-file.ts';
import { openShard, type Shard, sampleBytes } from './shard.ts';

export interface LatentsOptions {
  /** Take the mirrored image's latents half of the time. Default false. */
  readonly flip?: boolean;
  /** Side of the pictures that were encoded; if given it must be right. */
  readonly imageSize?: number | undefined;
  /** For pixels only: refused. */
  readonly channels?: number | undefined;
  readonly crop?: number;
  readonly split?: Split;
  /** Default: those of the index. */
  readonly classNames?: readonly string[] | undefined;
}

/** Shards kept open at a time: systems allow a process a thousand files or so. */
const OPEN_SHARDS = 256;
/** Shards looked at together when a set is opened. */
const STATS_AT_ONCE = 256;

/**
 * Open a set of latents. Its dataset holds files open and has to be closed.
 * @throws {DatasetError} if it is not finished, or a shard is missing; {FormatError} if its index is damaged;
 * {ConfigError} if an option does not fit it.
 */
export async function openLatents(folder: string, options: LatentsOptions = {}): Promise<Dataset> {
  const index = await readIndex(folder);
  const { shards, latentShape, autoencoder, flips } = index;
  requireFitting(folder, index, options);
  await requireShards(folder, index);
  const starts = startsOf(shards.map(({ samples }) => samples));
  const pool = createShardPool((shard) => openShard(folder, index, shard), OPEN_SHARDS);
  const flip = flips && options.flip === true;
  return {
    name: folder,
    size: finishedCounts(index).samples,
    sampleShape: [1, ...latentShape],
    classNames: options.classNames ?? index.classNames,
    corruptCount: 0,
    autoencoder: { ...autoencoder, downsampling: index.imageSize / latentShape[1] },
    close: () => pool.close(),
    async read(sample, generator) {
      const shard = lastAtMost(starts, sample);
      const row = sample - starts[shard];
      const flipped = flip && generator.rand(1)[0] < 0.5;
      const [label, moments] = await pool.use(shard, async ({ labels, read }) => [
        labels[row],
        await read(row, flipped),
      ]);
      return { values: samplePosterior(moments, autoencoder.scalingFactor, generator), label };
    },
  };
}

/** A draw from N(mean, variance), scaled; `moments` are means and then as many log variances. */
export function samplePosterior(
  moments: Float32Array,
  scalingFactor: number,
  generator: Generator,
): Float32Array {
  const count = moments.length / 2;
  const values = generator.randn(count);
  for (let i = 0; i < count; i++) {
    values[i] = (moments[i] + Math.exp(0.5 * moments[count + i]) * values[i]) * scalingFactor;
  }
  return values;
}

function requireFitting(folder: string, index: LatentsIndex, options: LatentsOptions): void {
  const fail = (problem: string): never => {
    throw new ConfigError(`${folder}: ${problem}`);
  };
  const { imageSize, flip, channels, crop = 0, split = 'train', classNames } = options;
  if (imageSize !== undefined && imageSize !== index.imageSize) {
    fail(`its latents are of images of ${index.imageSize} pixels, not ${imageSize}; leave imageSize out`);
  }
  if (flip && !index.flips) {
    fail('was encoded without flips (--no-flip), so flip must be false, or encode it again with them');
  }
  if (channels !== undefined) fail('channels is for images only; leave it out for latents');
  if (crop !== 0) fail('latents cannot be cropped at random; leave crop out');
  if (split !== 'train') fail('latents have no splits; give the folder that this split was encoded to');
  if (classNames && classNames.length !== index.classNames.length) {
    fail(`has ${index.classNames.length} classes, got ${classNames.length} classNames`);
  }
}

/** All shards are there and have at least the length that their samples take. */
async function requireShards(folder: string, index: LatentsIndex): Promise<void> {
  const total = shardCount(index);
  if (index.shards.length < total) {
    throw new DatasetError(
      `${folder}: only ${index.shards.length} of its ${total} shards are encoded; run acdit encode again to finish it`,
    );
  }
  if (finishedCounts(index).samples === 0) throw new DatasetError(`${folder}: holds no sample`);
  for (let first = 0; first < total; first += STATS_AT_ONCE) {
    const some = index.shards.slice(first, first + STATS_AT_ONCE);
    await Promise.all(
      some.map(async ({ samples }, i) => {
        const path = shardFile(folder, first + i);
        const stats = await stat(path).catch(() => undefined);
        const expected = samples * sampleBytes(index);
        if (stats && stats.size >= expected) return;
        const problem = stats ? `has ${stats.size} bytes, expected more than ${expected}` : 'is missing';
        throw new FormatError(`${path}: ${problem}; run acdit encode again to make it anew`);
      }),
    );
  }
}

/** Where each part begins, if parts of these lengths follow each other. */
function startsOf(lengths: readonly number[]): number[] {
  let start = 0;
  return lengths.map((length) => {
    start += length;
    return start - length;
  });
}

/** The last place whose start is not beyond `value`; of several empty parts before it, the part that holds it. */
function lastAtMost(starts: readonly number[], value: number): number {
  let [low, high] = [0, starts.length - 1];
  while (low < high) {
    const middle = Math.ceil((low + high) / 2);
    if (starts[middle] <= value) low = middle;
    else high = middle - 1;
  }
  return low;
}

interface PooledShard {
  readonly shard: Promise<Shard>;
  users: number;
}

/** Keeps the shards used last open, up to `limit`; one in use is never closed. */
export function createShardPool(open: (shard: number) => Promise<Shard>, limit: number) {
  const pooled = new Map<number, PooledShard>();
  /** Close what was used longest ago. */
  const makeRoom = (): void => {
    for (const [key, { shard, users }] of pooled) {
      if (pooled.size <= limit) return;
      if (users > 0) continue;
      pooled.delete(key);
      void shard.then((opened) => opened.close()).catch(() => {});
    }
  };
  return {
    async use<T>(key: number, action: (shard: Shard) => Promise<T>): Promise<T> {
      const entry = pooled.get(key) ?? { shard: open(key), users: 0 };
      pooled.delete(key); // to the end
      pooled.set(key, entry);
      entry.users++;
      try {
        return await action(await entry.shard);
      } finally {
        entry.users--;
        makeRoom();
      }
    },
    /** Nothing may be in use any more. */
    async close(): Promise<void> {
      const all = [...pooled.values()];
      pooled.clear();
      for (const { shard } of all) await shard.then((opened) => opened.close()).catch(() => {});
    },
  };
}
