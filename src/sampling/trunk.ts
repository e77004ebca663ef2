/**
 * @file The model as sampling uses it: predict the noise of a block that attends the cache, and append a finished
 * block to the cache. Both walk the same segments; a finished block does so with shift 0, scale 0 and gate 1.
 */

import type { Graph } from '../graph/onnx.ts';
import { type AcditConfig, headSize, tokenSize } from '../models/acdit/config.ts';
import { ropeTables, signedTables } from '../models/acdit/rope.ts';
import { LAYER_MODULATIONS, rowsOf, type Weights } from '../models/acdit/weights.ts';
import type { Device, Feeds, Program } from '../runtime/device.ts';
import { float32, type Tensor, zeros } from '../tensor/tensor.ts';
import { appendAttentionGraph, cacheGroups, denoiseAttentionGraph, numbered } from './graphs.ts';
import { type Condition, compileModulations, type ModulationTable } from './modulation-table.ts';
import { type CompileOptions, compileSegments, type WeightSource, weightsInMemory } from './segments.ts';

/**
 * Keys and values of the finished blocks, for each layer and each of its groups of heads (N, heads of the group,
 * cached, D); shared by all guidance branches.
 */
export interface KeyValueCache {
  /** Finished blocks. */
  readonly blocks: number;
  readonly keys: readonly (readonly Tensor<'float32'>[])[];
  readonly values: readonly (readonly Tensor<'float32'>[])[];
}

export const EMPTY_CACHE: KeyValueCache = { blocks: 0, keys: [], values: [] };

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

  function positions(block: number): { cos: Tensor<'float32'>; sin: Tensor<'float32'> } {
    const start = block * blockSize;
    return {
      cos: rowsOf(rope.cos, start, start + blockSize),
      sin: rowsOf(rope.sin, start, start + blockSize),
    };
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
    block: number,
    workspace: Workspace,
  ): Promise<void> {
    const { query, key, value, attended, blocks } = workspace;
    const beginning = { beginModulation: modulation(index), ...positions(block) };
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
      const modulation = (layer: number): Tensor => table.gather(layer, conditions);
      for (let layer = 0; layer < layers; layer++) {
        signal?.throwIfAborted();
        await beginLayer(layer, tokens, modulation, cache.blocks, workspace);
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
      const workspace = workspaceFor(samples);
      const { query, key, value, attended } = workspace;
      const identity = identityModulation(samples, config.hidden);
      const tokens = repeatSamples(latents, 1);
      const keys: Tensor<'float32'>[][] = [];
      const values: Tensor<'float32'>[][] = [];
      for (let layer = 0; layer < layers; layer++) {
        signal?.throwIfAborted();
        await beginLayer(layer, tokens, () => identity, cache.blocks, workspace);
        const attend = layer < layers - 1;
        const attention = await attentionProgram(`append ${samples} ${cached} ${attend}`, () =>
          appendAttentionGraph(config, samples, cached, attend),
        );
        const feeds = { key, value, ...cacheFeeds(cache, layer) };
        const nextKeys = cacheRoom(config, samples, cache.blocks + 1);
        const nextValues = cacheRoom(config, samples, cache.blocks + 1);
        const room = { ...numberedAll('keys', nextKeys), ...numberedAll('values', nextValues) };
        await (attend
          ? attention.run({ query, ...feeds }, { ...room, attended })
          : attention.run(feeds, room));
        keys.push(nextKeys);
        values.push(nextValues);
      }
      return { blocks: cache.blocks + 1, keys, values };
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
  const [samples, tokens, size] = latents.shape;
  const out = new Float32Array(branches * latents.data.length);
  for (let branch = 0; branch < branches; branch++) out.set(latents.data, branch * latents.data.length);
  return float32([branches * samples, 1, tokens, size], out);
}

/** What makes a clean token of a noised one's path: shift 0, scale 0, gate 1, twice. */
function identityModulation(samples: number, hidden: number): Tensor<'float32'> {
  const row = [0, 0, 1, 0, 0, 1].flatMap((value) => Array<number>(hidden).fill(value));
  const data = Float32Array.from({ length: samples * row.length }, (_, i) => row[i % row.length]);
  return float32([samples, 1, LAYER_MODULATIONS, hidden], data);
}
