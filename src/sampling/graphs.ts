/** @file The graphs that sampling runs: embed, one layer, the last projection, and the modulations apart from them. */

import type { Graph } from '../graph/onnx.ts';
import { attention, concat, expand, linear, reshape, split } from '../graph/operators/index.ts';
import { input, type SymbolicTensor } from '../graph/symbolic.ts';
import { type AcditConfig, headSize, tokenSize } from '../models/acdit/config.ts';
import {
  type Attend,
  cleanKeysAndValues,
  conditions,
  finalLayer,
  type LayerSymbols,
  layerInputs,
  modulations,
  type RopeSymbols,
  transformerLayer,
} from '../models/acdit/transformer.ts';
import { LAYER_MODULATIONS, parameters, TIMESTEP_FEATURES } from '../models/acdit/weights.ts';

export const CONDITION_WEIGHTS = [
  't_embedder.mlp.0.weight',
  't_embedder.mlp.0.bias',
  't_embedder.mlp.2.weight',
  't_embedder.mlp.2.bias',
  'y_embedder.embedding_table.weight',
] as const;

export const FINAL_WEIGHTS = [
  'final_layer.norm_final.weight',
  'final_layer.linear.weight',
  'final_layer.linear.bias',
] as const;

/** Samples, and guidance branches of each: 2 with guidance, 1 without. */
export interface BatchShape {
  readonly samples: number;
  readonly branches: number;
}

/** Inputs for weights by their official names. */
export function weightInputs(config: AcditConfig, names: readonly string[]): LayerSymbols {
  const shapes = parameters(config);
  return Object.fromEntries(names.map((name) => [name, input(name, shapes.get(name)!)]));
}

/** Condition vectors of (timestep, label) pairs: `features` (K, 256) and `labels` (K) to `condition` (K, C). */
export function conditionGraph(config: AcditConfig): Graph {
  const weights = weightInputs(config, CONDITION_WEIGHTS);
  const features = input('features', ['pairs', TIMESTEP_FEATURES]);
  const labels = input('labels', ['pairs'], 'int64');
  return {
    inputs: [features, labels, ...Object.values(weights)],
    outputs: { condition: conditions(weights, features, labels) },
  };
}

/** `count` modulation vectors of each pair: `condition` (K, C) to `modulation` (K, count, C). */
export function modulationGraph({ hidden }: AcditConfig, count: number): Graph {
  const condition = input('condition', ['pairs', hidden]);
  const weight = input('weight', [count * hidden, hidden]);
  const bias = input('bias', [count * hidden]);
  return {
    inputs: [condition, weight, bias],
    outputs: { modulation: modulations(weight, bias, condition, count) },
  };
}

/** `tokens` (N, B, token size) to hidden vectors `result` (N, R, B, C), the same for every branch. */
export function embedGraph(config: AcditConfig, { samples, branches }: BatchShape): Graph {
  const { blockSize, hidden } = config;
  const tokens = input('tokens', [samples, blockSize, tokenSize(config)]);
  const weight = input('x_embedder.weight', [hidden, tokenSize(config)]);
  const embedded = reshape(linear(tokens, weight), [samples, 1, blockSize, hidden]);
  return {
    inputs: [tokens, weight],
    outputs: { result: expand(embedded, [samples, branches, blockSize, hidden]) },
  };
}

/** `blocks` (N, R, B, C) and `modulation` (N, R, 2, C) to the predicted noise `result` (N, R, B, token size). */
export function finalGraph(config: AcditConfig, { samples, branches }: BatchShape): Graph {
  const weights = weightInputs(config, FINAL_WEIGHTS);
  const blocks = input('blocks', [samples, branches, config.blockSize, config.hidden]);
  const modulation = input('modulation', [samples, branches, 2, config.hidden]);
  return {
    inputs: [blocks, modulation, ...Object.values(weights)],
    outputs: { result: finalLayer(weights, blocks, modulation) },
  };
}

interface LayerInterface {
  readonly blocks: SymbolicTensor;
  readonly modulation: SymbolicTensor;
  readonly rope: RopeSymbols;
  readonly cachedKeys: SymbolicTensor;
  readonly cachedValues: SymbolicTensor;
}

function layerInterface(config: AcditConfig, { samples, branches }: BatchShape): LayerInterface {
  const { blockSize, hidden, heads } = config;
  const head = headSize(config);
  return {
    blocks: input('blocks', [samples, branches, blockSize, hidden]),
    modulation: input('modulation', [samples, branches, LAYER_MODULATIONS, hidden]),
    rope: { cos: input('cos', [blockSize, head]), sin: input('sin', [blockSize, head]) },
    cachedKeys: input('cachedKeys', [samples, heads, 'cached', head]),
    cachedValues: input('cachedValues', [samples, heads, 'cached', head]),
  };
}

/** Each branch's queries attend the clean blocks, whose keys and values all branches share, and their own block. */
function cacheAttention(given: LayerInterface, cached: boolean): Attend {
  return (q, k, v) => {
    const branches = Number(given.blocks.shape[1]);
    const sizes = Array<number>(branches).fill(Number(given.blocks.shape[2]));
    const [queries, keys, values] = [q, k, v].map((x) => split(x, 2, sizes));
    const results = queries.map((query, branch) => {
      const seenKeys = cached ? concat([given.cachedKeys, keys[branch]], 2) : keys[branch];
      const seenValues = cached ? concat([given.cachedValues, values[branch]], 2) : values[branch];
      return attention(query, seenKeys, seenValues);
    });
    return concat(results, 2);
  };
}

/** Modulation weights are used before the run, by {@link modulationGraph}. */
function trunkWeights(config: AcditConfig): LayerSymbols {
  return layerInputs(config, (name) => !name.startsWith('adaLN'));
}

/** One layer of a denoising step. @param cached whether there are clean blocks to attend. */
export function denoiseLayerGraph(config: AcditConfig, batch: BatchShape, cached: boolean): Graph {
  const given = layerInterface(config, batch);
  const weights = trunkWeights(config);
  const repeat = (table: SymbolicTensor): SymbolicTensor =>
    concat(Array<SymbolicTensor>(batch.branches).fill(table), 0);
  const rope = { cos: repeat(given.rope.cos), sin: repeat(given.rope.sin) };
  const attend = cacheAttention(given, cached);
  const result = transformerLayer(config, weights, given.blocks, given.modulation, rope, attend);
  const cache = cached ? [given.cachedKeys, given.cachedValues] : [];
  return {
    inputs: [
      given.blocks,
      given.modulation,
      given.rope.cos,
      given.rope.sin,
      ...cache,
      ...Object.values(weights),
    ],
    outputs: { result },
  };
}

/**
 * One layer over a finished block: the same path with shift 0, scale 0 and gate 1, which also gives the cache
 * with the block's keys and values behind it.
 * @param last only keys and values are wanted: nothing reads the last layer's result.
 */
export function appendLayerGraph(
  config: AcditConfig,
  samples: number,
  cached: boolean,
  last: boolean,
): Graph {
  const given = layerInterface(config, { samples, branches: 1 });
  const cache = cached ? [given.cachedKeys, given.cachedValues] : [];
  const longer = (before: SymbolicTensor, added: SymbolicTensor): SymbolicTensor =>
    cached ? concat([before, added], 2) : added;
  if (last) {
    const weights = layerInputs(config, (name) => /^(norm1|attn\.k)|^attn\.value/.test(name));
    const { key, value } = cleanKeysAndValues(config, weights, given.blocks, given.rope);
    return {
      inputs: [given.blocks, given.rope.cos, given.rope.sin, ...cache, ...Object.values(weights)],
      outputs: { keys: longer(given.cachedKeys, key), values: longer(given.cachedValues, value) },
    };
  }
  const weights = trunkWeights(config);
  const added: { keys?: SymbolicTensor; values?: SymbolicTensor } = {};
  const attend: Attend = (q, k, v) => {
    added.keys = longer(given.cachedKeys, k);
    added.values = longer(given.cachedValues, v);
    return attention(q, added.keys, added.values);
  };
  const result = transformerLayer(config, weights, given.blocks, given.modulation, given.rope, attend);
  return {
    inputs: [
      given.blocks,
      given.modulation,
      given.rope.cos,
      given.rope.sin,
      ...cache,
      ...Object.values(weights),
    ],
    outputs: { result, keys: added.keys!, values: added.values! },
  };
}
