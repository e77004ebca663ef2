/**
 * @file What may go through the trunk in one pass: blocks in progress, whose noise is predicted, and finished blocks, which
 * join the cache. They differ in their modulation, and in what their queries meet.
 */

import type { Graph } from '../graph/onnx.ts';
import { type AcditConfig, headSize } from '../models/acdit/config.ts';
import { type RopeTables, ropeTables, signedTables } from '../models/acdit/rope.ts';
import { CLEAN_MODULATION, rowsOf } from '../models/acdit/weights.ts';
import type { Device, Feeds, Program } from '../runtime/device.ts';
import { float32, type Tensor, zeros } from '../tensor/tensor.ts';
import { type KeyValueCache, roomFor } from './cache.ts';
import { appendAttentionGraph, denoiseAttentionGraph, numbered, rotateKeysGraph } from './graphs.ts';
import type { Condition, ModulationTable } from './modulation-table.ts';
import { type AttentionRows, attentionRows } from './workspace.ts';

/** A block in progress, of one or more samples that have as many finished blocks. */
export interface DenoiseJob {
  /** (N, B, token size) */
  readonly latents: Tensor<'float32'>;
  /** R x N of them, a guidance branch's samples together, as in the official batch. */
  readonly conditions: readonly Condition[];
  readonly table: ModulationTable;
  readonly cache: KeyValueCache;
}

/** A finished block, which is to join the cache. */
export interface AppendJob {
  /** (N, B, token size) */
  readonly latents: Tensor<'float32'>;
  readonly cache: KeyValueCache;
}

/** A job's part in a pass: some groups, a group being one block of one sample in one branch. */
export interface PassPart {
  readonly groups: number;
  /** Values of the tokens of some groups, which stand for all if they are fewer. */
  readonly tokens: Float32Array;
  /** Where the block's tokens are, (B, D). */
  readonly places: RopeTables;
  /** Modulation vectors of one of the groups. */
  modulation(layer: number, group: number): Float32Array;
  /** A layer's attention. */
  attend(layer: number, rows: AttentionRows): Promise<void>;
}

export interface PassParts {
  denoise(job: DenoiseJob): Promise<PassPart>;
  /** @returns also the cache that the pass fills. */
  append(job: AppendJob): Promise<PassPart & { readonly extended: KeyValueCache }>;
  /** Plain keys (N, heads, kept, D), rotated as the keys of the first blocks. */
  rotate(plainKeys: Tensor<'float32'>): Promise<Tensor<'float32'>>;
  dispose(): Promise<void>;
}

/** Attention has no weights; its programs are compiled when they are first needed. */
export function createPassParts(device: Device, config: AcditConfig): PassParts {
  const { layers, blockSize } = config;
  const programs = new Map<string, Promise<Program>>();
  const rope = signedTables(ropeTables(config));
  const cleanRow = Float32Array.from(
    CLEAN_MODULATION.flatMap((value) => Array<number>(config.hidden).fill(value)),
  );
  /** No rotation. */
  const still: RopeTables = {
    cos: float32([blockSize, headSize(config)], new Float32Array(blockSize * headSize(config)).fill(1)),
    sin: zeros('float32', [blockSize, headSize(config)]),
  };

  function program(key: string, build: () => Graph): Promise<Program> {
    const known = programs.get(key) ?? device.compile(build());
    programs.set(key, known);
    return known;
  }

  /** Tables of the tokens of `count` blocks from number `block` on. */
  function positions(block: number, count = 1): RopeTables {
    const [start, end] = [block * blockSize, (block + count) * blockSize];
    return { cos: rowsOf(rope.cos, start, end), sin: rowsOf(rope.sin, start, end) };
  }

  return {
    async denoise({ latents, conditions, table, cache }) {
      const [samples] = latents.shape;
      const branches = conditions.length / samples;
      const cached = cache.blocks > 0;
      const attention = await program(`denoise ${samples} ${branches} ${cached}`, () =>
        denoiseAttentionGraph(config, samples, branches, cached),
      );
      return {
        groups: conditions.length,
        tokens: latents.data,
        places: positions(cache.blocks),
        modulation: (layer, group) => table.row(layer, conditions[group]),
        async attend(layer, rows) {
          const byBranch = Array.from({ length: branches }, (_, b) =>
            attentionRows(rows, b * samples, (b + 1) * samples),
          );
          const all = (name: keyof AttentionRows): Feeds =>
            numberedAll(
              name,
              byBranch.map((branch) => branch[name]),
            );
          await attention.run(
            { ...all('query'), ...all('key'), ...all('value'), ...cacheFeeds(cache, layer) },
            all('attended'),
          );
        },
      };
    },

    async append({ latents, cache }) {
      const [samples] = latents.shape;
      const cached = cache.blocks > 0;
      const sliding = cache.plainKeys !== undefined;
      const [attending, storing] = await Promise.all(
        [true, false].map((attend) =>
          program(`append ${samples} ${cached} ${attend} ${sliding}`, () =>
            appendAttentionGraph(config, { samples, cached, attend, sliding }),
          ),
        ),
      );
      const extended = roomFor(config, samples, cache);
      const places = positions(cache.blocks);
      return {
        extended,
        groups: samples,
        tokens: latents.data,
        // A sliding cache needs keys before rotation, so its attention rotates.
        places: sliding ? still : places,
        modulation: () => cleanRow,
        async attend(layer, { query, key, value, attended }) {
          const plain = cached && sliding ? numberedAll('cachedPlainKeys', cache.plainKeys[layer]) : {};
          const feeds = { key, value, ...(sliding && places), ...cacheFeeds(cache, layer), ...plain };
          const into = {
            ...numberedAll('keys', extended.keys[layer]),
            ...numberedAll('values', extended.values[layer]),
            ...numberedAll('plainKeys', extended.plainKeys?.[layer] ?? []),
          };
          // Nothing reads what a finished block's last layer attends.
          if (layer === layers - 1) await storing.run(feeds, into);
          else await attending.run({ query, ...feeds }, { ...into, attended });
        },
      };
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

function cacheFeeds({ blocks, keys, values }: KeyValueCache, layer: number): Feeds {
  if (blocks === 0) return {};
  return { ...numberedAll('cachedKeys', keys[layer]), ...numberedAll('cachedValues', values[layer]) };
}

/** `name.0`, `name.1` and so on. */
function numberedAll(name: string, tensors: readonly Tensor<'float32'>[]): Record<string, Tensor<'float32'>> {
  return Object.fromEntries(tensors.map((value, index) => [numbered(name, index), value]));
}
