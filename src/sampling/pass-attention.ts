/**
 * @file Attention in a pass: each part has its own cache, so what is one product for all parts elsewhere is one a part
 * here. But several may share a program, which costs less than to run one for each of them.
 */

import type { Graph } from '../graph/onnx.ts';
import type { AcditConfig } from '../models/acdit/config.ts';
import type { Device, Feeds, Program } from '../runtime/device.ts';
import { type Tensor, zeros } from '../tensor/tensor.ts';
import type { KeyValueCache } from './cache.ts';
import { appendAttentionGraph, denoiseAttentionGraph, numbered, rotateKeysGraph } from './graphs.ts';
import { type AppendPart, createPositions, type DenoisePart, type PassPart } from './pass-parts.ts';
import { type AttentionRows, attentionRows } from './workspace.ts';

/** A part, and where the segments leave its queries, keys and values. */
export interface Attending<Part extends PassPart> {
  readonly part: Part;
  readonly rows: AttentionRows;
}

/** Attention of some parts in one layer. */
export type AttendLayer = (layer: number) => Promise<void>;

export interface PassAttention {
  denoise(all: readonly Attending<DenoisePart>[]): Promise<AttendLayer[]>;
  append(one: Attending<AppendPart>): Promise<AttendLayer>;
  /** Plain keys (N, heads, kept, D), rotated as the keys of the first blocks. */
  rotate(plainKeys: Tensor<'float32'>): Promise<Tensor<'float32'>>;
  dispose(): Promise<void>;
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

  async function together(all: readonly Attending<DenoisePart>[]): Promise<AttendLayer> {
    const [{ part }] = all;
    const options = { ...kindOf(part), sequences: all.length };
    const attention = await program(`denoise ${JSON.stringify(options)}`, () =>
      denoiseAttentionGraph(config, options),
    );
    const own = merged(all.map(({ part, rows }, s) => ownFeeds(part, rows, s)));
    const into = merged(all.map(({ part, rows }, s) => byBranch('attended', part, rows, s)));
    return async (layer) => {
      const past = merged(all.map(({ part }, s) => cacheFeeds(part.cache, layer, `.${s}`)));
      await attention.run({ ...own, ...past }, into);
    };
  }

  return {
    denoise: (all) => Promise.all(likeOnes(all).map(together)),

    async append({ part: { samples, cache, extended }, rows }) {
      const cached = cache.blocks > 0;
      const sliding = cache.plainKeys !== undefined;
      const places = sliding ? positions(cache.blocks) : {};
      const compiled = (attend: boolean): Promise<Program> =>
        program(`append ${samples} ${cached} ${attend} ${sliding}`, () =>
          appendAttentionGraph(config, { samples, cached, attend, sliding }),
        );
      const { query, key, value, attended } = rows;
      return async (layer) => {
        const plain = cached && sliding ? numberedAll('cachedPlainKeys', cache.plainKeys[layer]) : {};
        const feeds = { key, value, ...places, ...cacheFeeds(cache, layer), ...plain };
        const into = {
          ...numberedAll('keys', extended.keys[layer]),
          ...numberedAll('values', extended.values[layer]),
          ...numberedAll('plainKeys', extended.plainKeys?.[layer] ?? []),
        };
        // Nothing reads what a finished block's last layer attends.
        const attend = layer < layers - 1;
        const attention = await compiled(attend);
        await (attend
          ? attention.run({ query, ...feeds }, { ...into, attended })
          : attention.run(feeds, into));
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

/** Most sequences of a program. */
const MOST_TOGETHER = 8;

/**
 * Parts that a program serves together: as many of a kind as 8, 4, 2 or 1, so that there are few programs, and each part
 * is computed by the same operators as alone.
 */
function likeOnes(all: readonly Attending<DenoisePart>[]): Attending<DenoisePart>[][] {
  return [...byKind(all).values()].flatMap((alike) => {
    const chunks: Attending<DenoisePart>[][] = [];
    for (let size = MOST_TOGETHER, start = 0; start < alike.length; size = size / 2) {
      for (; start + size <= alike.length; start += size) chunks.push(alike.slice(start, start + size));
    }
    return chunks;
  });
}

function byKind(all: readonly Attending<DenoisePart>[]): Map<string, Attending<DenoisePart>[]> {
  const kinds = new Map<string, Attending<DenoisePart>[]>();
  for (const one of all) {
    const key = JSON.stringify(kindOf(one.part));
    kinds.set(key, [...(kinds.get(key) ?? []), one]);
  }
  return kinds;
}

function kindOf({ samples, branches, cache }: DenoisePart) {
  return { samples, branches, cached: cache.blocks > 0 };
}

function ownFeeds(part: DenoisePart, rows: AttentionRows, sequence: number): Feeds {
  return merged((['query', 'key', 'value'] as const).map((name) => byBranch(name, part, rows, sequence)));
}

/** Rows of each branch, which is a run of memory: `name.sequence.branch`. */
function byBranch(
  name: keyof AttentionRows,
  { samples, branches }: DenoisePart,
  rows: AttentionRows,
  sequence: number,
): Feeds {
  const parts = Array.from(
    { length: branches },
    (_, b) => attentionRows(rows, b * samples, (b + 1) * samples)[name],
  );
  return numberedAll(numbered(name, sequence), parts);
}

function cacheFeeds({ blocks, keys, values }: KeyValueCache, layer: number, suffix = ''): Feeds {
  if (blocks === 0) return {};
  return {
    ...numberedAll(`cachedKeys${suffix}`, keys[layer]),
    ...numberedAll(`cachedValues${suffix}`, values[layer]),
  };
}

/** `name.0`, `name.1` and so on. */
function numberedAll(name: string, tensors: readonly Tensor<'float32'>[]): Record<string, Tensor<'float32'>> {
  return Object.fromEntries(tensors.map((value, index) => [numbered(name, index), value]));
}

function merged(all: readonly Feeds[]): Feeds {
  return Object.assign({}, ...all);
}
