/** @file Keys and values of finished blocks, which later blocks attend. */

import { at } from '../at.ts';
import { type AcditConfig, headSize } from '../models/acdit/config.ts';
import { rowsOf } from '../models/acdit/weights.ts';
import { joinAxis, sliceAxis } from '../tensor/axes.ts';
import { type Tensor, zeros } from '../tensor/tensor.ts';
import { cacheGroups, numbered } from './graphs.ts';

/** For each layer and each of its groups of heads (N, heads of the group, cached, D). */
type ByLayer = readonly (readonly Tensor<'float32'>[])[];

/** Keys and values of the finished blocks, shared by all guidance branches, as an engine holds them. */
export interface Cache {
  /** Finished blocks that it holds. */
  readonly blocks: number;
  /** The position of the block that attends them, in blocks: as many as were finished, unless the cache slides. */
  readonly place: number;
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

export const EMPTY_CACHE: Cache = { blocks: 0, place: 0, keys: [], values: [] };
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
  return {
    blocks,
    place: before.place + 1,
    keys: all(),
    values: all(),
    ...(before.plainKeys && { plainKeys: all() }),
  };
}

/** Returns the cache of one of its samples, as a view. */
export function sampleCache(
  { keys, values, plainKeys, ...cache }: KeyValueCache,
  sample: number,
): KeyValueCache {
  const own = (all: ByLayer): ByLayer =>
    all.map((layer) => layer.map((part) => rowsOf(part, sample, sample + 1)));
  return { ...cache, keys: own(keys), values: own(values), ...(plainKeys && { plainKeys: own(plainKeys) }) };
}

/** Some blocks of a cache, by their index in it. */
export interface CacheBlocks<C extends Cache = Cache> {
  readonly cache: C;
  readonly blocks: readonly number[];
}

/** Returns what the layers cache of a kind, of some blocks of one or more caches. */
export function pickedBlocks(
  { blockSize }: AcditConfig,
  parts: readonly CacheBlocks<KeyValueCache>[],
  kind: 'keys' | 'values' | 'plainKeys',
): ByLayer {
  const pieces = parts.flatMap(({ cache, blocks }) =>
    runsOf(blocks).map(({ start, end }) => ({ layers: cache[kind] ?? [], start, end })),
  );
  return at(pieces, 0).layers.map((groups, layer) =>
    groups.map((_, group) =>
      joinAxis(
        pieces.map(({ layers, start, end }) =>
          sliceAxis(at(at(layers, layer), group), 2, start * blockSize, end * blockSize),
        ),
        2,
      ),
    ),
  );
}

/** Returns rising indexes as runs of neighbours. */
export function runsOf(indexes: readonly number[]): { readonly start: number; readonly end: number }[] {
  const runs: { start: number; end: number }[] = [];
  for (const index of indexes) {
    const last = runs[runs.length - 1];
    if (last?.end === index) last.end++;
    else runs.push({ start: index, end: index + 1 });
  }
  return runs;
}

/** Names the tensors of lists, such as the groups of layers or of samples: `name.list.index`. */
export function numberedFeeds(name: string, lists: ByLayer): [string, Tensor<'float32'>][] {
  return lists.flatMap((tensors, list) =>
    tensors.map((value, i): [string, Tensor<'float32'>] => [numbered(numbered(name, list), i), value]),
  );
}
