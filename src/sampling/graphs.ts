/**
 * @file The graphs that sampling runs. Between two attentions everything happens row by row, so the trunk is cut
 * there: a segment holds one layer's end and the next layer's beginning, with their weights as part of the program,
 * and serves any number of samples and branches; attention has no weights and serves every layer and branch.
 */

import type { Graph } from '../graph/onnx.ts';
import { attention, concat, linear, split } from '../graph/operators/index.ts';
import { input, type SymbolicTensor } from '../graph/symbolic.ts';
import { type AcditConfig, headSize, tokenSize } from '../models/acdit/config.ts';
import {
  type AttentionInputs,
  afterAttention,
  attentionInputs,
  conditions,
  finalLayer,
  type LayerSymbols,
  modulations,
  weightInputs,
} from '../models/acdit/transformer.ts';
import {
  CONDITION_WEIGHTS,
  LAYER_MODULATIONS,
  layerWeightShapes,
  TIMESTEP_FEATURES,
} from '../models/acdit/weights.ts';

export const FINAL_WEIGHTS = [
  'final_layer.norm_final.weight',
  'final_layer.linear.weight',
  'final_layer.linear.bias',
] as const;

/** Names of a layer's weights up to its attention, and after it; modulation weights belong to neither. */
const BEFORE_ATTENTION = /^(norm1|attn\.(query|key|value|q_norm|k_norm))\./;
const AFTER_ATTENTION = /^(norm2|attn\.proj|mlp\.fc[12])\./;

/** Inputs named `prefix` and a layer weight's own name, for those that fit `pattern`. */
function layerSymbols(config: AcditConfig, prefix: string, pattern: RegExp): LayerSymbols {
  const entries = [...layerWeightShapes(config)].filter(([name]) => pattern.test(name));
  return Object.fromEntries(entries.map(([name, shape]) => [name, input(prefix + name, shape)]));
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

/**
 * Segment number `index` of 0 to `layers`. A group is one block of one sample in one branch.
 *
 * - 0: `tokens` (groups, B, token size) are embedded, and layer 0 begins;
 * - between: layer index - 1 ends from `blocks` and `attended`, and layer index begins;
 * - `layers`: the last layer ends, and the final layer predicts `noise` (groups, 1, B, token size).
 *
 * A beginning gives `query`, `key` and `value` (groups, H, B, D), and the hidden vectors `nextBlocks`
 * (groups, 1, B, C) to go on with. Weight inputs are `end.*` and `begin.*`, or official names outside the layers.
 */
export function segmentGraph(config: AcditConfig, index: number): Graph {
  const { blockSize, hidden, heads, layers } = config;
  const inputs: SymbolicTensor[] = [];
  const take = (symbol: SymbolicTensor): SymbolicTensor => {
    inputs.push(symbol);
    return symbol;
  };
  const takeAll = (symbols: LayerSymbols): LayerSymbols => {
    inputs.push(...Object.values(symbols));
    return symbols;
  };
  const modulationInput = (name: string, count: number): SymbolicTensor =>
    take(input(name, ['groups', 1, count, hidden]));

  let blocks: SymbolicTensor;
  if (index === 0) {
    const tokens = take(input('tokens', ['groups', 1, blockSize, tokenSize(config)]));
    blocks = linear(tokens, takeAll(weightInputs(config, ['x_embedder.weight']))['x_embedder.weight']);
  } else {
    const before = take(input('blocks', ['groups', 1, blockSize, hidden]));
    const attended = take(input('attended', ['groups', heads, blockSize, headSize(config)]));
    const weights = takeAll(layerSymbols(config, 'end.', AFTER_ATTENTION));
    blocks = afterAttention(
      config,
      weights,
      before,
      modulationInput('endModulation', LAYER_MODULATIONS),
      attended,
    );
  }
  if (index === layers) {
    const weights = takeAll(weightInputs(config, FINAL_WEIGHTS));
    return { inputs, outputs: { noise: finalLayer(weights, blocks, modulationInput('finalModulation', 2)) } };
  }
  const rope = {
    cos: take(input('cos', [blockSize, headSize(config)])),
    sin: take(input('sin', [blockSize, headSize(config)])),
  };
  const weights = takeAll(layerSymbols(config, 'begin.', BEFORE_ATTENTION));
  const modulation = modulationInput('beginModulation', LAYER_MODULATIONS);
  const { query, key, value } = attentionInputs(config, weights, blocks, modulation, rope);
  return { inputs, outputs: { nextBlocks: blocks, query, key, value } };
}

function attentionSymbols(config: AcditConfig, samples: number): AttentionInputs {
  const shape = [samples, config.heads, config.blockSize, headSize(config)];
  return { query: input('query', shape), key: input('key', shape), value: input('value', shape) };
}

/** Keys and values of the clean blocks, (N, H, cached, D). */
function cacheSymbols(
  config: AcditConfig,
  samples: number,
): { keys: SymbolicTensor; values: SymbolicTensor } {
  const shape = [samples, config.heads, 'cached', headSize(config)];
  return { keys: input('cachedKeys', shape), values: input('cachedValues', shape) };
}

/** Bytes of scores at a time: a few heads' worth stays in the processor's cache from product to softmax to product. */
const SCORE_BYTES = 6.5e6;

/** Sizes that share out `heads` so that the scores of (samples x B) queries and up to `keys` keys stay small. */
function headGroups({ heads, blockSize }: AcditConfig, samples: number, keys: number): number[] {
  const most = Math.max(1, Math.floor(SCORE_BYTES / (4 * samples * blockSize * keys)));
  return Array.from({ length: Math.ceil(heads / most) }, (_, i) => Math.min(most, heads - i * most));
}

/**
 * Attention of a denoising step in one guidance branch: `query`, `key` and `value` (N, H, B, D) of the block in
 * progress, behind the clean blocks' keys and values. @param cached whether there are clean blocks.
 */
export function denoiseAttentionGraph(config: AcditConfig, samples: number, cached: boolean): Graph {
  const { query, key, value } = attentionSymbols(config, samples);
  const cache = cacheSymbols(config, samples);
  const longest = config.blockSize * (cached ? config.blocks : 1);
  const sizes = headGroups(config, samples, longest);
  const byHeads = (x: SymbolicTensor): readonly SymbolicTensor[] => split(x, 1, sizes);
  const behind = (past: SymbolicTensor, own: SymbolicTensor): readonly SymbolicTensor[] => {
    if (!cached) return byHeads(own);
    const pasts = byHeads(past);
    return byHeads(own).map((part, i) => concat([pasts[i], part], 2));
  };
  const keys = behind(cache.keys, key);
  const values = behind(cache.values, value);
  const results = byHeads(query).map((part, i) => attention(part, keys[i], values[i]));
  return {
    inputs: [query, key, value, ...(cached ? [cache.keys, cache.values] : [])],
    outputs: { attended: concat(results, 1) },
  };
}

/**
 * Attention of finished blocks, which join the cache: `keys` and `values` are the cache with theirs behind it.
 * @param attend false where only the cache is wanted: nothing reads the last layer's result.
 */
export function appendAttentionGraph(
  config: AcditConfig,
  samples: number,
  cached: boolean,
  attend: boolean,
): Graph {
  const { query, key, value } = attentionSymbols(config, samples);
  const cache = cacheSymbols(config, samples);
  const keys = cached ? concat([cache.keys, key], 2) : key;
  const values = cached ? concat([cache.values, value], 2) : value;
  const inputs = [key, value, ...(cached ? [cache.keys, cache.values] : [])];
  return attend
    ? { inputs: [query, ...inputs], outputs: { keys, values, attended: attention(query, keys, values) } }
    : { inputs, outputs: { keys, values } };
}
