/**
 * @file Attention in a pass. Each sample has its own cache and its own products: one product for all samples would be
 * rounded differently if there are several. But several samples share a program, which costs less than to run one
 * for each.
 */

import { at, take } from '../at.ts';
import type { Graph } from '../graph/onnx.ts';
import type { AcditConfig } from '../models/acdit/config.ts';
import { type Positions, type RopeTables, tablesOf } from '../models/acdit/rope.ts';
import { rowsOf } from '../models/acdit/weights.ts';
import type { Device, Feeds, Program } from '../runtime/device.ts';
import { type Tensor, zeros } from '../tensor/tensor.ts';
import { type KeyValueCache, numberedFeeds, sampleCache } from './cache.ts';
import { appendAttentionGraph, denoiseAttentionGraph, numbered, rotateKeysGraph } from './graphs.ts';
import type { Sequence } from './pass-engine.ts';
import type { Buffers } from './workspace.ts';

/** A sequence in a pass. Its rows are those of one guidance branch after the other. */
export interface PlacedSequence extends Sequence<KeyValueCache> {
  /** Its first row in the workspace. */
  readonly start: number;
  readonly rows: number;
  readonly samples: number;
  /** Tables of the positions that its block has in the segments (B, D). */
  readonly rope: RopeTables;
  /** The cache that a clean block fills. */
  readonly extended: KeyValueCache | undefined;
}

/** One sample of a sequence: its cache, and its row in each guidance branch. */
type PlacedSample = Pick<PlacedSequence, 'cache' | 'extended'> & { readonly rows: readonly number[] };

/** Runs the attention of some samples in one layer. */
type AttendLayer = (layer: number) => Promise<void>;

/** Attention has no weights; its programs are compiled when they are first needed. */
export class PassAttention {
  readonly #device: Device;
  readonly #config: AcditConfig;
  readonly #positions: Positions;
  readonly #programs = new Map<string, Promise<Program>>();

  constructor(device: Device, config: AcditConfig, positions: Positions) {
    this.#device = device;
    this.#config = config;
    this.#positions = positions;
  }

  /** Compiles what a pass needs. Each function runs a layer's attention of some samples, from and to the workspace. */
  prepare(sequences: readonly PlacedSequence[], buffers: Buffers): Promise<AttendLayer[]> {
    return Promise.all(
      alikeTogether(sequences.flatMap(samplesOf)).map((samples) =>
        at(samples, 0).extended ? this.#append(samples, buffers) : this.#denoise(samples, buffers),
      ),
    );
  }

  async #denoise(samples: readonly PlacedSample[], buffers: Buffers): Promise<AttendLayer> {
    const [{ rows, cache }] = take(samples, 1);
    const options = { branches: rows.length, cached: cache.blocks > 0, sequences: samples.length };
    const program = await this.#program(`denoise ${JSON.stringify(options)}`, () =>
      denoiseAttentionGraph(this.#config, options),
    );
    const own = rowFeeds(['query', 'key', 'value'], buffers, samples);
    const into = rowFeeds(['attended'], buffers, samples);
    const caches = samples.map((sample) => sample.cache);
    return async (layer) => {
      await program.run({ ...own, ...cacheFeeds(CACHED, caches, layer) }, into);
    };
  }

  async #append(samples: readonly PlacedSample[], buffers: Buffers): Promise<AttendLayer> {
    const [{ cache }] = take(samples, 1);
    const sliding = cache.plainKeys !== undefined;
    const options = { cached: cache.blocks > 0, sliding, sequences: samples.length };
    const caches = samples.map((sample) => sample.cache);
    const extended = samples.flatMap((sample) => sample.extended ?? []);
    const tables = sliding ? this.#positionFeeds(caches) : {};
    return async (layer) => {
      // The last layer's attention of a finished block is never read.
      const attend = layer < this.#config.layers - 1;
      const program = await this.#program(`append ${JSON.stringify(options)} ${attend}`, () =>
        appendAttentionGraph(this.#config, { ...options, attend }),
      );
      const own = rowFeeds(attend ? ['query', 'key', 'value'] : ['key', 'value'], buffers, samples);
      await program.run(
        { ...own, ...tables, ...cacheFeeds([...CACHED, ['plainKeys', 'cachedPlainKeys']], caches, layer) },
        {
          ...cacheFeeds(EXTENDED, extended, layer),
          ...(attend && rowFeeds(['attended'], buffers, samples)),
        },
      );
    };
  }

  /** Returns plain keys (N, heads, kept, D) of blocks, rotated by the positions of these. */
  async rotate(plainKeys: Tensor<'float32'>, places: readonly number[]): Promise<Tensor<'float32'>> {
    const [samples, heads] = take(plainKeys.shape, 2);
    const program = await this.#program(`rotate ${samples} ${heads}`, () =>
      rotateKeysGraph(this.#config, samples, heads),
    );
    const keys = zeros('float32', plainKeys.shape);
    await program.run({ plainKeys, ...tablesOf(this.#positions, places) }, { keys });
    return keys;
  }

  async dispose(): Promise<void> {
    for (const compiled of this.#programs.values()) await (await compiled).dispose();
    this.#programs.clear();
  }

  #program(key: string, build: () => Graph): Promise<Program> {
    const known = this.#programs.get(key) ?? this.#device.compile(build());
    this.#programs.set(key, known);
    return known;
  }

  /** Tables of the positions of blocks that join caches, named by sample. */
  #positionFeeds(caches: readonly KeyValueCache[]): Feeds {
    return Object.fromEntries(
      caches.flatMap(({ place }, s) =>
        Object.entries(this.#positions(place)).map(([name, table]) => [numbered(name, s), table]),
      ),
    );
  }
}

function samplesOf({ samples, start, rows, cache, extended }: PlacedSequence): PlacedSample[] {
  return Array.from({ length: samples }, (_, n) => ({
    cache: sampleCache(cache, n),
    rows: Array.from({ length: rows / samples }, (_, branch) => start + branch * samples + n),
    extended: extended && sampleCache(extended, n),
  }));
}

/** Max samples of a program. */
const MAX_TOGETHER = 8;

/** Divides samples among programs: 8, 4, 2 or 1 of a kind, so that there are few programs. */
function alikeTogether(all: readonly PlacedSample[]): PlacedSample[][] {
  const kinds = new Map<string, PlacedSample[]>();
  for (const sample of all) {
    const { rows, cache, extended } = sample;
    const kind = `${rows.length} ${cache.blocks > 0} ${cache.plainKeys !== undefined} ${extended !== undefined}`;
    kinds.set(kind, [...(kinds.get(kind) ?? []), sample]);
  }
  return [...kinds.values()].flatMap((alike) => {
    const chunks: PlacedSample[][] = [];
    for (let size = MAX_TOGETHER, start = 0; start < alike.length; size = size / 2) {
      for (; start + size <= alike.length; start += size) chunks.push(alike.slice(start, start + size));
    }
    return chunks;
  });
}

/** Names the samples' rows of each branch: `name.sample.branch`. */
function rowFeeds(
  names: readonly ('query' | 'key' | 'value' | 'attended')[],
  buffers: Buffers,
  samples: readonly PlacedSample[],
): Feeds {
  const rowsIn = (buffer: Tensor<'float32'>) =>
    samples.map(({ rows }) => rows.map((row) => rowsOf(buffer, row, row + 1)));
  return Object.fromEntries(names.flatMap((name) => numberedFeeds(name, rowsIn(buffers[name]))));
}

/** The parts of a cache, and their names in a program. */
type CacheNames = readonly (readonly [part: 'keys' | 'values' | 'plainKeys', name: string])[];

const CACHED: CacheNames = [
  ['keys', 'cachedKeys'],
  ['values', 'cachedValues'],
];
const EXTENDED: CacheNames = [
  ['keys', 'keys'],
  ['values', 'values'],
  ['plainKeys', 'plainKeys'],
];

/** Names what the samples cache in a layer: `name.sample.group`. */
function cacheFeeds(names: CacheNames, caches: readonly KeyValueCache[], layer: number): Feeds {
  const groupsOf = (part: CacheNames[number][0]) => caches.map((cache) => cache[part]?.[layer] ?? []);
  return Object.fromEntries(names.flatMap(([part, name]) => numberedFeeds(name, groupsOf(part))));
}
