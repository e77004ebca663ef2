/**
 * @file A set of latents as a dataset. Nothing but the index is read to open it, and a sample is one short range of a
 * shard. A sample is drawn again each time: z = mean + exp(log variance / 2) noise, times the scaling factor.
 */

import { createHash } from 'node:crypto';
import { stat } from 'node:fs/promises';
import { at, float32At, int32At } from '../../at.ts';
import { ConfigError, DatasetError, FormatError } from '../../errors.ts';
import { joinArrays } from '../../tensor/axes.ts';
import type { Generator } from '../../tensor/generator.ts';
import { CorruptFiles } from '../corrupt-files.ts';
import type { Dataset } from '../dataset.ts';
import { type DatasetOptions, requireFrames } from '../kinds.ts';
import { clipSpan, clipStart, tooShort } from '../videos/clip.ts';
import {
  earlierLatentsNote,
  finishedCounts,
  type LatentsIndex,
  readIndex,
  shardCount,
  shardFile,
  shardFrames,
} from './index-file.ts';
import { frameBytes, openShard, type Shard, startsOf } from './shard.ts';

/** How samples are drawn from a set of latents. */
export type LatentsOptions = Omit<DatasetOptions, 'path'>;

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
  for (const note of earlierLatentsNote(folder, index)) options.warn?.(note);
  await requireShards(folder, index);
  const starts = startsOf(shards.map(({ samples }) => samples));
  const { samples: size } = finishedCounts(index);
  const clip = { frames: options.frames ?? 1, interval: options.frameInterval ?? 1 };
  const short = new CorruptFiles(folder, size, 'videos', options);
  const pool = createShardPool((shard) => openShard(folder, index, shard), OPEN_SHARDS);
  const flip = flips && options.flip === true;
  return {
    name: folder,
    size,
    sampleShape: [clip.frames, ...latentShape],
    classNames: options.classNames ?? index.classNames,
    get corruptCount() {
      return short.count;
    },
    autoencoder: { ...autoencoder, downsampling: index.imageSize / latentShape[1] },
    fingerprint: async () => fingerprintOf(index),
    // Latents have no names, and a set keeps its order.
    key: String,
    close: () => pool.close(),
    async read(sample, generator) {
      const shard = starts.findLastIndex((start) => start <= sample); // those before it may be empty
      const row = sample - at(starts, shard);
      const flipped = flip && at(generator.rand(1), 0) < 0.5;
      return pool.use(shard, async ({ labels, frames, read }) => {
        const [span, length] = [clipSpan(clip), int32At(frames, row)];
        if (length < span) {
          short.mark(sample, `${folder}: video ${sample}`, tooShort(length, clip));
          return undefined;
        }
        short.markGood(sample);
        const start = index.clips ? clipStart(length, span, at(generator.rand(1), 0)) : 0;
        const moments = await read(row, start, span, flipped);
        const values = Array.from({ length: clip.frames }, (_, t) => {
          const begin = (t * clip.interval * moments.length) / span;
          return samplePosterior(
            moments.subarray(begin, begin + moments.length / span),
            autoencoder.scalingFactor,
            generator,
          );
        });
        return { values: joinArrays('float32', values), label: int32At(labels, row) };
      });
    },
  };
}

/** Hashes what an index says of its shards and of their source. */
function fingerprintOf({ source, dtype, imageSize, autoencoder, shards }: LatentsIndex): string {
  const text = JSON.stringify({ source, dtype, imageSize, autoencoder, shards });
  return createHash('sha256').update(text).digest('hex').slice(0, 16);
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
    const deviation = Math.exp(0.5 * float32At(moments, count + i));
    values[i] = (float32At(moments, i) + deviation * float32At(values, i)) * scalingFactor;
  }
  return values;
}

function requireFitting(folder: string, index: LatentsIndex, options: LatentsOptions): void {
  const fail = (problem: string): never => {
    throw new ConfigError(`${folder}: ${problem}`);
  };
  const { imageSize, flip, channels, crop = 0, split = 'train', classNames } = options;
  if (index.clips) requireFrames(folder, options);
  else if (options.frames !== undefined || options.frameInterval !== undefined) {
    fail('its latents are of images, not of videos; leave frames and frameInterval out');
  }
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
      some.map(async (_, i) => {
        const path = shardFile(folder, index, first + i);
        const stats = await stat(path).catch(() => undefined);
        const expected = shardFrames(index, first + i) * frameBytes(index);
        if (stats && stats.size >= expected) return;
        const problem = stats ? `has ${stats.size} bytes, expected more than ${expected}` : 'is missing';
        throw new FormatError(`${path}: ${problem}; run acdit encode again to replace it`);
      }),
    );
  }
}

/** Keeps the shards used last open, up to `limit`; one in use is never closed. */
export function createShardPool(open: (shard: number) => Promise<Shard>, limit: number) {
  const pooled = new Map<number, { readonly shard: Promise<Shard>; users: number }>();
  const closed = (shard: Promise<Shard>) => shard.then((opened) => opened.close()).catch(() => {});
  /** Close what was used longest ago. */
  const makeRoom = (): void => {
    for (const [key, { shard, users }] of pooled) {
      if (pooled.size <= limit) return;
      if (users > 0) continue;
      pooled.delete(key);
      void closed(shard);
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
      for (const { shard } of all) await closed(shard);
    },
  };
}
