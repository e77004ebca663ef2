/**
 * @file The model as sampling uses it: predict the noise of a block that attends the cache, and append a finished
 * block to the cache. Every layer runs the same program with its own weights, which exist once in memory.
 */

import type { Graph } from '../graph/onnx.ts';
import { type AcditConfig, tokenSize } from '../models/acdit/config.ts';
import { ropeTables, signedTables } from '../models/acdit/rope.ts';
import { LAYER_MODULATIONS, layerWeights, rowsOf, type Weights } from '../models/acdit/weights.ts';
import type { Device, Feeds, Program } from '../runtime/device.ts';
import { float32, type Tensor, zeros } from '../tensor/tensor.ts';
import {
  appendLayerGraph,
  type BatchShape,
  denoiseLayerGraph,
  embedGraph,
  FINAL_WEIGHTS,
  finalGraph,
} from './graphs.ts';
import { type Condition, compileModulations, type ModulationTable } from './modulation-table.ts';

/** Keys and values of the finished blocks, (N, H, cached, D) for each layer; shared by all guidance branches. */
export interface KeyValueCache {
  /** Finished blocks. */
  readonly blocks: number;
  readonly keys: readonly Tensor<'float32'>[];
  readonly values: readonly Tensor<'float32'>[];
}

export const EMPTY_CACHE: KeyValueCache = { blocks: 0, keys: [], values: [] };

export interface Trunk {
  readonly config: AcditConfig;
  /** Modulations of every given condition, computed at once. */
  modulations(conditions: readonly Condition[]): Promise<ModulationTable>;
  /**
   * Predicted noise of block number `cache.blocks`.
   * @param latents (N, B, token size)
   * @param conditions N x R of them, a sample's branches together
   * @returns (N, R, B, token size)
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

/** Prepare a model for sampling. Programs are compiled when first needed. */
export async function openTrunk(device: Device, config: AcditConfig, weights: Weights): Promise<Trunk> {
  const modulationPrograms = await compileModulations(device, config);
  const programs = new Map<string, Promise<Program>>();
  const rope = signedTables(ropeTables(config));
  const layers = Array.from({ length: config.layers }, (_, i) => layerWeights(weights, i));

  function program(key: string, build: () => Graph): Promise<Program> {
    const known = programs.get(key) ?? device.compile(build());
    programs.set(key, known);
    return known;
  }

  function positions(block: number): { cos: Tensor<'float32'>; sin: Tensor<'float32'> } {
    const start = block * config.blockSize;
    const end = start + config.blockSize;
    return { cos: rowsOf(rope.cos, start, end), sin: rowsOf(rope.sin, start, end) };
  }

  function cacheFeeds({ blocks, keys, values }: KeyValueCache, layer: number): Feeds {
    return blocks > 0 ? { cachedKeys: keys[layer], cachedValues: values[layer] } : {};
  }

  async function embed(latents: Tensor<'float32'>, batch: BatchShape): Promise<Tensor> {
    const { samples, branches } = batch;
    const embedding = await program(`embed ${samples} ${branches}`, () => embedGraph(config, batch));
    const feeds = { tokens: latents, 'x_embedder.weight': weights.get('x_embedder.weight')! };
    return (await embedding.run(feeds)).result;
  }

  return {
    config,
    modulations: (conditions) => modulationPrograms.compute(weights, conditions),

    async denoise(latents, conditions, table, cache, signal) {
      const [samples] = latents.shape;
      const branches = conditions.length / samples;
      const batch = { samples, branches };
      const cached = cache.blocks > 0;
      const layer = await program(`denoise ${samples} ${branches} ${cached}`, () =>
        denoiseLayerGraph(config, batch, cached),
      );
      const final = await program(`final ${samples} ${branches}`, () => finalGraph(config, batch));
      let blocks = await embed(latents, batch);
      // Two tensors take turns: fresh memory for each layer would cost a page fault each 4 KB.
      let spare: Tensor = zeros('float32', blocks.shape);
      for (let i = 0; i < config.layers; i++) {
        signal?.throwIfAborted();
        const feeds = {
          blocks,
          modulation: table.gather(i, conditions, branches),
          ...positions(cache.blocks),
          ...cacheFeeds(cache, i),
        };
        const { result } = await layer.run(pick(layer, { ...feeds, ...layers[i] }), { result: spare });
        [blocks, spare] = [result, blocks];
      }
      const modulation = table.gather(config.layers, conditions, branches);
      const finalWeights = Object.fromEntries(FINAL_WEIGHTS.map((name) => [name, weights.get(name)!]));
      const { result } = await final.run({ blocks, modulation, ...finalWeights });
      return result as Tensor<'float32'>;
    },

    async append(latents, cache, signal) {
      const [samples] = latents.shape;
      const cached = cache.blocks > 0;
      const modulation = identityModulation(samples, config.hidden);
      const keys: Tensor<'float32'>[] = [];
      const values: Tensor<'float32'>[] = [];
      let blocks = await embed(latents, { samples, branches: 1 });
      for (let i = 0; i < config.layers; i++) {
        signal?.throwIfAborted();
        const last = i === config.layers - 1;
        const layer = await program(`append ${samples} ${cached} ${last}`, () =>
          appendLayerGraph(config, samples, cached, last),
        );
        const feeds = {
          blocks,
          modulation,
          ...positions(cache.blocks),
          ...cacheFeeds(cache, i),
          ...layers[i],
        };
        const outputs = await layer.run(pick(layer, feeds));
        keys.push(outputs.keys as Tensor<'float32'>);
        values.push(outputs.values as Tensor<'float32'>);
        blocks = outputs.result;
      }
      return { blocks: cache.blocks + 1, keys, values };
    },

    async dispose() {
      await modulationPrograms.dispose();
      for (const compiled of programs.values()) await (await compiled).dispose();
      programs.clear();
    },
  };
}

/** The feeds that a program takes. */
function pick(program: Program, feeds: Feeds): Feeds {
  return Object.fromEntries(program.inputNames.map((name) => [name, feeds[name]]));
}

/** What makes a clean token of a noised one's path: shift 0, scale 0, gate 1, twice. */
function identityModulation(samples: number, hidden: number): Tensor<'float32'> {
  const row = [0, 0, 1, 0, 0, 1].flatMap((value) => Array<number>(hidden).fill(value));
  const data = Float32Array.from({ length: samples * row.length }, (_, i) => row[i % row.length]);
  return float32([samples, 1, LAYER_MODULATIONS, hidden], data);
}

/** Shape of one block's latents for `samples`. */
export function blockShape(config: AcditConfig, samples: number): number[] {
  return [samples, config.blockSize, tokenSize(config)];
}
