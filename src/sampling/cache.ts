/** @file Keys and values of finished blocks, which later blocks attend. */

import { at } from '../at.ts';
import { type AcditConfig, headSize } from '../models/acdit/config.ts';
import { rowsOf } from '../models/acdit/weights.ts';
import { sliceAxis } from '../tensor/axes.ts';
import { type Tensor, zeros } from '../tensor/tensor.ts';
import { cacheGroups, numbered } from './graphs.ts';

/** For each layer and each of its groups of heads (N, heads of the group, cached, D). */
type ByLayer = readonly (readonly Tensor<'float32'>[])[];

/** Keys and values of the finished blocks, shared by all guidance branches, as an engine holds them. */
export interface Cache {
  /** Finished blocks. */
  readonly blocks: number;
  readonly keys: readonly unknown[];
  readonly values: readonly unknown[];
  /** Keys before rotation, only in a cache that can lose its oldest blocks: the others then change places. */
  readonly plainKeys?: readonly unknown[];
  /** Give back memory that is not collected as garbage; an engine that is disposed of does so with all of its caches. */
  dispose?(): void;
}

/** The cache in the host's memory. */
export interface KeyValueCache extends Cache {
  readonly keys: ByLayer;
  readonly values: ByLayer;
  readonly plainKeys?: ByLayer;
}

export const EMPTY_CACHE: Cache = { blocks: 0, keys: [], values: [] };
export const EMPTY_SLIDING_CACHE: Cache = { ...EMPTY_CACHE, plainKeys: [] };

/** Returns the bytes of the keys and values of some blocks of a sample, in float32. */
export function cacheBytes({ layers, hidden, blockSize }: AcditConfig, blocks: number): number {
  return 2 * 4 * layers * hidden * blocks * blockSize;
}

/** Allocates the cache of `samples` with one block more than `before`. */
export function extendedCache(config: AcditConfig, samples: number, before: KeyValueCache): KeyValueCache {
  const blocks = before.blocks + 1;
  const layer = (): Tensor<'float32'>[] =>
    cacheGroups(config).map((heads) =>
      zeros('float32', [samples, heads, blocks * config.blockSize, headSize(config)]),
    );
  const all = (): Tensor<'float32'>[][] => Array.from({ length: config.layers }, layer);
  return { blocks, keys: all(), values: all(), ...(before.plainKeys && { plainKeys: all() }) };
}

/** Returns the cache of one of its samples, as a view. */
export function sampleCache(
  { blocks, keys, values, plainKeys }: KeyValueCache,
  sample: number,
): KeyValueCache {
  const own = (all: ByLayer): ByLayer =>
    all.map((layer) => layer.map((part) => rowsOf(part, sample, sample + 1)));
  return { blocks, keys: own(keys), values: own(values), ...(plainKeys && { plainKeys: own(plainKeys) }) };
}

/** Returns what the layers cache of a kind, without the oldest block. */
export function withoutOldest({ blockSize }: AcditConfig, all: ByLayer): ByLayer {
  return all.map((layer) => layer.map((part) => sliceAxis(part, 2, blockSize, at(part.shape, 2))));
}

/** Names the tensors of lists, such as the groups of layers or of samples: `name.list.index`. */
export function numberedFeeds(name: string, lists: ByLayer): [string, Tensor<'float32'>][] {
  return lists.flatMap((tensors, list) =>
    tensors.map((value, i): [string, Tensor<'float32'>] => [numbered(numbered(name, list), i), value]),
  );
}
