/**
 * @file Attention in a pass. Each sample has its own cache and its own products: one product for all samples would be
 * rounded differently if there are several. But several samples share a program, which costs less than to run one
 * for each.
 */

import type { Graph } from '../graph/onnx.ts';
import type { AcditConfig } from '../models/acdit/config.ts';
import type { Device, Feeds, Program } from '../runtime/device.ts';
import { type Tensor, zeros } from '../tensor/tensor.ts';
import { type KeyValueCache, sampleCache } from './cache.ts';
import { appendAttentionGraph, denoiseAttentionGraph, numbered, rotateKeysGraph } from './graphs.ts';
import { type AppendPart, createPositions, type DenoisePart, type PassPart } from './pass-parts.ts';
import { type AttentionRows, attentionRows } from './workspace.ts';

/** A part, and where the segments leave its queries, keys and values. */
export interface Attending<Part extends PassPart> {
  readonly part: Part;
  readonly rows: AttentionRows;
}

/** Attention of some samples in one layer. */
export type AttendLayer = (layer: number) => Promise<void>;

export interface PassAttention {
  denoise(all: readonly Attending<DenoisePart>[]): Promise<AttendLayer[]>;
  append(all: readonly Attending<AppendPart>[]): Promise<AttendLayer[]>;
  /** Plain keys (N, heads, kept, D), rotated as the keys of the first blocks. */
  rotate(plainKeys: Tensor<'float32'>): Promise<Tensor<'float32'>>;
  dispose(): Promise<void>;
}

/** One sample of a part: its cache, and its rows in each guidance branch. */
interface Sequence {
  readonly cache: KeyValueCache;
  readonly branches: readonly AttentionRows[];
}

/** A sample whose block joins the cache. */
interface Appending extends Sequence {
  readonly extended: KeyValueCache;
}

/** Attention has no weights; its programs are compiled when they are first needed. */
export function createPassAttention(device: Device, config: AcditConfig): PassAttention {
  const { layers, blockSize } = config;
  const programs = new Map<string, Promise<Program>>();
  const positions = createPositions(config);

  function program(key: string, build: () => Graph): Promise<Program> {
    const known = programs.get(key) ?? device.compile(build());
    programs.set(key, known);
    return known;
  }

  async function denoiseTogether(all: readonly Sequence[]): Promise<AttendLayer> {
    const [{ branches, cache }] = all;
    const options = { branches: branches.length, cached: cache.blocks > 0, sequences: all.length };
    const attention = await program(`denoise ${JSON.stringify(options)}`, () =>
      denoiseAttentionGraph(config, options),
    );
    const own = merged(all.map((one, s) => rowFeeds(['query', 'key', 'value'], one, s)));
    const into = merged(all.map((one, s) => rowFeeds(['attended'], one, s)));
    return async (layer) => {
      const past = merged(all.map(({ cache }, s) => cacheFeeds(CACHED, cache, layer, s)));
      await attention.run({ ...own, ...past }, into);
    };
  }

  async function appendTogether(all: readonly Appending[]): Promise<AttendLayer> {
    const [{ cache }] = all;
    const sliding = cache.plainKeys !== undefined;
    const options = { cached: cache.blocks > 0, sliding, sequences: all.length };
    const compiled = (attend: boolean): Promise<Program> =>
      program(`append ${JSON.stringify(options)} ${attend}`, () =>
        appendAttentionGraph(config, { ...options, attend }),
      );
    const places = merged(all.map(({ cache }, s) => (sliding ? suffixed(positions(cache.blocks), s) : {})));
    return async (layer) => {
      const past = merged(
        all.map(({ cache }, s) => cacheFeeds(sliding ? CACHED_SLIDING : CACHED, cache, layer, s)),
      );
      const extended = merged(all.map(({ extended }, s) => cacheFeeds(EXTENDED, extended, layer, s)));
      // The last layer's attention of a finished block is never read.
      const attend = layer < layers - 1;
      const attention = await compiled(attend);
      const own = merged(
        all.map((one, s) => rowFeeds(attend ? ['query', 'key', 'value'] : ['key', 'value'], one, s)),
      );
      const attended = attend ? merged(all.map((one, s) => rowFeeds(['attended'], one, s))) : {};
      await attention.run({ ...own, ...places, ...past }, { ...extended, ...attended });
    };
  }

  return {
    denoise: (all) => Promise.all(alikeTogether(all.flatMap(sequencesOf)).map(denoiseTogether)),

    append(all) {
      const sequences = all.flatMap((one): Appending[] =>
        sequencesOf(one).map((sequence, n) => ({
          ...sequence,
          extended: sampleCache(one.part.extended, n),
        })),
      );
      return Promise.all(alikeTogether(sequences).map(appendTogether));
    },

    async rotate(plainKeys) {
      const [samples, heads, kept] = plainKeys.shape;
      const rotation = await program(`rotate ${samples} ${heads}`, () =>
        rotateKeysGraph(config, samples, heads),
      );
      const keys = zeros('float32', plainKeys.shape);
      await rotation.run({ plainKeys, ...positions(0, kept / blockSize) }, { keys });
      return keys;
    },

    async dispose() {
      for (const compiled of programs.values()) await (await compiled).dispose();
      programs.clear();
    },
  };
}

/** The samples of a part. Its rows are those of one guidance branch after the other. */
function sequencesOf({ part: { samples, groups, cache }, rows }: Attending<PassPart>): Sequence[] {
  return Array.from({ length: samples }, (_, n) => ({
    cache: sampleCache(cache, n),
    branches: Array.from({ length: groups / samples }, (_, b) =>
      attentionRows(rows, b * samples + n, b * samples + n + 1),
    ),
  }));
}

/** Most sequences of a program. */
const MOST_TOGETHER = 8;

/** Sequences per program: 8, 4, 2 or 1, so that there are few programs. */
function alikeTogether<One extends Sequence>(all: readonly One[]): One[][] {
  return [...byKind(all).values()].flatMap((alike) => {
    const chunks: One[][] = [];
    for (let size = MOST_TOGETHER, start = 0; start < alike.length; size = size / 2) {
      for (; start + size <= alike.length; start += size) chunks.push(alike.slice(start, start + size));
    }
    return chunks;
  });
}

function byKind<One extends Sequence>(all: readonly One[]): Map<string, One[]> {
  const kinds = new Map<string, One[]>();
  for (const one of all) {
    const { branches, cache } = one;
    const key = `${branches.length} ${cache.blocks > 0} ${cache.plainKeys !== undefined}`;
    kinds.set(key, [...(kinds.get(key) ?? []), one]);
  }
  return kinds;
}

/** Names a sequence's rows of each branch: `name.sequence.branch`. */
function rowFeeds(names: readonly (keyof AttentionRows)[], { branches }: Sequence, sequence: number): Feeds {
  return merged(
    names.map((name) =>
      numberedAll(
        numbered(name, sequence),
        branches.map((rows) => rows[name]),
      ),
    ),
  );
}

/** Names of the parts of a cache in a program. */
interface CacheNames {
  readonly keys: string;
  readonly values: string;
  readonly plainKeys?: string;
}

const CACHED: CacheNames = { keys: 'cachedKeys', values: 'cachedValues' };
const CACHED_SLIDING: CacheNames = { ...CACHED, plainKeys: 'cachedPlainKeys' };
const EXTENDED: CacheNames = { keys: 'keys', values: 'values', plainKeys: 'plainKeys' };

/** Names the tensors of a layer of a sequence's cache: `keys.sequence.group` and so on. */
function cacheFeeds(
  { keys, values, plainKeys }: CacheNames,
  cache: KeyValueCache,
  layer: number,
  sequence: number,
): Feeds {
  if (cache.blocks === 0) return {};
  return {
    ...numberedAll(numbered(keys, sequence), cache.keys[layer]),
    ...numberedAll(numbered(values, sequence), cache.values[layer]),
    ...(plainKeys && numberedAll(numbered(plainKeys, sequence), cache.plainKeys?.[layer] ?? [])),
  };
}

/** `name.0`, `name.1` and so on. */
function numberedAll(name: string, tensors: readonly Tensor<'float32'>[]): Record<string, Tensor<'float32'>> {
  return Object.fromEntries(tensors.map((value, index) => [numbered(name, index), value]));
}

/** Renames tensors, with a sequence's number at the end. */
function suffixed(feeds: object, sequence: number): Feeds {
  return Object.fromEntries(Object.entries(feeds).map(([name, value]) => [numbered(name, sequence), value]));
}

function merged(all: readonly Feeds[]): Feeds {
  return Object.assign({}, ...all);
}
