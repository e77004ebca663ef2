/**
 * @file The model as sampling uses it: predict the noise of a block that attends the cache, and append a finished
 * block to the cache. Both walk the same segments; a finished block does so with shift 0, scale 0 and gate 1.
 */

import { ArgumentError } from '../errors.ts';
import type { Graph } from '../graph/onnx.ts';
import { type AcditConfig, headSize, tokenSize } from '../models/acdit/config.ts';
import { type RopeTables, ropeTables, signedTables } from '../models/acdit/rope.ts';
import { CLEAN_MODULATION, LAYER_MODULATIONS, rowsOf, type Weights } from '../models/acdit/weights.ts';
import type { Device, Feeds, Program } from '../runtime/device.ts';
import { joinAxis, sliceAxis } from '../tensor/axes.ts';
import { float32, type Tensor, zeros } from '../tensor/tensor.ts';
import {
  appendAttentionGraph,
  cacheGroups,
  denoiseAttentionGraph,
  numbered,
  rotateKeysGraph,
} from './graphs.ts';
import { type Condition, compileModulations, type ModulationTable } from './modulation-table.ts';
import { type CompileOptions, compileSegments, type WeightSource, weightsInMemory } from './segments.ts';

/** For each layer and each of its groups of heads (N, heads of the group, cached, D). */
type ByLayer = readonly (readonly Tensor<'float32'>[])[];

/** Keys and values of the finished blocks, shared by all guidance branches. */
export interface KeyValueCache {
  /** Finished blocks. */
  readonly blocks: number;
  readonly keys: ByLayer;
  readonly values: ByLayer;
  /** Keys before rotation, only in a cache that can lose its oldest blocks: the others then change places. */
  readonly plainKeys?: ByLayer;
}

export const EMPTY_CACHE: KeyValueCache = { blocks: 0, keys: [], values: [] };
export const EMPTY_SLIDING_CACHE: KeyValueCache = { ...EMPTY_CACHE, plainKeys: [] };

export interface Trunk {
  readonly config: AcditConfig;
  /** Modulations of every given condition, computed at once. */
  modulations(conditions: readonly Condition[]): Promise<ModulationTable>;
  /**
   * Predicted noise of block number `cache.blocks`.
   * @param latents (N, B, token size)
   * @param conditions R x N of them, a guidance branch's samples together, as in the official batch
   * @returns (R, N, B, token size)
   */
  denoise(
    latents: Tensor<'float32'>,
    conditions: readonly Condition[],
    table: ModulationTable,
    cache: KeyValueCache,
    signal?: AbortSignal,
  ): Promise<Tensor<'float32'>>;
  /** The cache with the finished block (N, B, token size) behind it. */
  append(latents: Tensor<'float32'>, cache: KeyValueCache, signal?: AbortSignal): Promise<KeyValueCache>;
  /** A sliding cache without its oldest block; the others move a place towards the beginning. */
  slide(cache: KeyValueCache): Promise<KeyValueCache>;
  dispose(): Promise<void>;
}

/** What passes from segment to segment, reused by every layer and step: fresh memory costs a page fault each 4 KB. */
interface Workspace {
  /** Hidden vectors in and out of a segment take turns. */
  readonly blocks: readonly [Tensor, Tensor];
  readonly query: Tensor<'float32'>;
  readonly key: Tensor<'float32'>;
  readonly value: Tensor<'float32'>;
  readonly attended: Tensor<'float32'>;
}

function createWorkspace({ blockSize, hidden, heads }: AcditConfig, groups: number): Workspace {
  const stream = (): Tensor => zeros('float32', [groups, 1, blockSize, hidden]);
  const perHead = (): Tensor<'float32'> => zeros('float32', [groups, heads, blockSize, hidden / heads]);
  return {
    blocks: [stream(), stream()],
    query: perHead(),
    key: perHead(),
    value: perHead(),
    attended: perHead(),
  };
}

/** Prepare a model for sampling: compile its segments with the weights. Attention is compiled when first needed. */
export async function openTrunk(
  device: Device,
  config: AcditConfig,
  weights: Weights | WeightSource,
  options: CompileOptions = {},
): Promise<Trunk> {
  const { layers, blockSize } = config;
  const source = typeof weights === 'function' ? weights : weightsInMemory(weights);
  const modulationPrograms = await compileModulations(device, config, source);
  const segments = await compileSegments(device, config, source, options);
  const attentions = new Map<string, Promise<Program>>();
  const workspaces = new Map<number, Workspace>();
  const rope = signedTables(ropeTables(config));

  /** No rotation. */
  const still: RopeTables = {
    cos: float32([blockSize, headSize(config)], new Float32Array(blockSize * headSize(config)).fill(1)),
    sin: zeros('float32', [blockSize, headSize(config)]),
  };

  function attentionProgram(key: string, build: () => Graph): Promise<Program> {
    const known = attentions.get(key) ?? device.compile(build());
    attentions.set(key, known);
    return known;
  }

  function workspaceFor(groups: number): Workspace {
    const known = workspaces.get(groups) ?? createWorkspace(config, groups);
    workspaces.set(groups, known);
    return known;
  }

  /** Tables of the tokens of `count` blocks from number `block` on. */
  function positions(block: number, count = 1): RopeTables {
    const [start, end] = [block * blockSize, (block + count) * blockSize];
    return { cos: rowsOf(rope.cos, start, end), sin: rowsOf(rope.sin, start, end) };
  }

  function cacheFeeds({ blocks, keys, values }: KeyValueCache, layer: number): Feeds {
    if (blocks === 0) return {};
    return { ...numberedAll('cachedKeys', keys[layer]), ...numberedAll('cachedValues', values[layer]) };
  }

  /** Run segment `index` up to its layer's attention inputs, which land in the workspace. */
  async function beginLayer(
    index: number,
    tokens: Tensor,
    modulation: (layer: number) => Tensor,
    places: RopeTables,
    workspace: Workspace,
  ): Promise<void> {
    const { query, key, value, attended, blocks } = workspace;
    const beginning = { beginModulation: modulation(index), ...places };
    const before: Feeds =
      index === 0
        ? { tokens }
        : { blocks: blocks[index % 2], attended, endModulation: modulation(index - 1) };
    await segments[index].run(
      { ...before, ...beginning },
      { nextBlocks: blocks[(index + 1) % 2], query, key, value },
    );
  }

  return {
    config,
    modulations: (conditions) => modulationPrograms.compute(conditions),

    async denoise(latents, conditions, table, cache, signal) {
      const [samples] = latents.shape;
      const branches = conditions.length / samples;
      const groups = conditions.length;
      const cached = cache.blocks > 0;
      const attention = await attentionProgram(`denoise ${samples} ${branches} ${cached}`, () =>
        denoiseAttentionGraph(config, samples, branches, cached),
      );
      const workspace = workspaceFor(groups);
      const { query, key, value, attended, blocks } = workspace;
      // A branch is a run of memory.
      const byBranch = (name: string, whole: Tensor<'float32'>): Record<string, Tensor<'float32'>> =>
        numberedAll(
          name,
          Array.from({ length: branches }, (_, b) => rowsOf(whole, b * samples, (b + 1) * samples)),
        );
      const own = { ...byBranch('query', query), ...byBranch('key', key), ...byBranch('value', value) };
      const results = byBranch('attended', attended);
      const tokens = repeatSamples(latents, branches);
      const places = positions(cache.blocks);
      const modulation = (layer: number): Tensor => table.gather(layer, conditions);
      for (let layer = 0; layer < layers; layer++) {
        signal?.throwIfAborted();
        await beginLayer(layer, tokens, modulation, places, workspace);
        await attention.run({ ...own, ...cacheFeeds(cache, layer) }, results);
      }
      const { noise } = await segments[layers].run({
        blocks: blocks[layers % 2],
        attended,
        endModulation: modulation(layers - 1),
        finalModulation: modulation(layers),
      });
      return float32([branches, samples, blockSize, tokenSize(config)], noise.data as Float32Array);
    },

    async append(latents, cache, signal) {
      const [samples] = latents.shape;
      const cached = cache.blocks > 0;
      const sliding = cache.plainKeys !== undefined;
      const workspace = workspaceFor(samples);
      const { query, key, value, attended } = workspace;
      const identity = identityModulation(samples, config.hidden);
      const tokens = repeatSamples(latents, 1);
      const places = positions(cache.blocks);
      const room = (): Tensor<'float32'>[][] =>
        Array.from({ length: layers }, () => cacheRoom(config, samples, cache.blocks + 1));
      const next = { keys: room(), values: room(), ...(sliding && { plainKeys: room() }) };
      for (let layer = 0; layer < layers; layer++) {
        signal?.throwIfAborted();
        // A sliding cache needs keys before rotation, so its attention rotates.
        await beginLayer(layer, tokens, () => identity, sliding ? still : places, workspace);
        const attend = layer < layers - 1;
        const attention = await attentionProgram(`append ${samples} ${cached} ${attend} ${sliding}`, () =>
          appendAttentionGraph(config, { samples, cached, attend, sliding }),
        );
        const plain = cached && sliding ? numberedAll('cachedPlainKeys', cache.plainKeys[layer]) : {};
        const feeds = { key, value, ...(sliding && places), ...cacheFeeds(cache, layer), ...plain };
        const into = {
          ...numberedAll('keys', next.keys[layer]),
          ...numberedAll('values', next.values[layer]),
          ...numberedAll('plainKeys', next.plainKeys?.[layer] ?? []),
        };
        await (attend
          ? attention.run({ query, ...feeds }, { ...into, attended })
          : attention.run(feeds, into));
      }
      return { blocks: cache.blocks + 1, ...next };
    },

    async slide({ blocks: before, values, plainKeys }) {
      if (!plainKeys) throw new ArgumentError('slide: the cache keeps no keys before rotation');
      const blocks = before - 1;
      const withoutOldest = (parts: readonly Tensor<'float32'>[]): Tensor<'float32'>[] =>
        parts.map((part) => sliceAxis(part, 2, blockSize, before * blockSize));
      const plain = plainKeys.map(withoutOldest);
      const places = positions(0, blocks);
      const keys: Tensor<'float32'>[][] = [];
      for (const parts of blocks > 0 ? plain : []) {
        const rotated: Tensor<'float32'>[] = [];
        for (const part of parts) {
          const [samples, heads] = part.shape;
          const rotation = await attentionProgram(`rotate ${samples} ${heads}`, () =>
            rotateKeysGraph(config, samples, heads),
          );
          const into = { keys: zeros('float32', part.shape) };
          await rotation.run({ plainKeys: part, ...places }, into);
          rotated.push(into.keys);
        }
        keys.push(rotated);
      }
      return { blocks, keys, values: values.map(withoutOldest), plainKeys: plain };
    },

    async dispose() {
      await modulationPrograms.dispose();
      for (const segment of segments) await segment.dispose();
      for (const program of attentions.values()) await (await program).dispose();
      attentions.clear();
      workspaces.clear();
    },
  };
}

/** Room for one layer's keys or values of so many finished blocks, by groups of heads. */
function cacheRoom(config: AcditConfig, samples: number, blocks: number): Tensor<'float32'>[] {
  return cacheGroups(config, samples).map((heads) =>
    zeros('float32', [samples, heads, blocks * config.blockSize, headSize(config)]),
  );
}

/** `name.0`, `name.1` and so on. */
function numberedAll(name: string, tensors: readonly Tensor<'float32'>[]): Record<string, Tensor<'float32'>> {
  return Object.fromEntries(tensors.map((value, index) => [numbered(name, index), value]));
}

/** (N, B, token size) once for each branch: (R x N, 1, B, token size). */
function repeatSamples(latents: Tensor<'float32'>, branches: number): Tensor<'float32'> {
  const { shape, data } = joinAxis(Array<Tensor<'float32'>>(branches).fill(latents), 0);
  const [groups, ...inner] = shape;
  return float32([groups, 1, ...inner], data);
}

/** {@link CLEAN_MODULATION} of all samples (N, 1, 6, C). */
function identityModulation(samples: number, hidden: number): Tensor<'float32'> {
  const row = CLEAN_MODULATION.flatMap((value) => Array<number>(hidden).fill(value));
  const data = Float32Array.from({ length: samples * row.length }, (_, i) => row[i % row.length]);
  return float32([samples, 1, LAYER_MODULATIONS, hidden], data);
}
