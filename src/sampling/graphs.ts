/**
 * @file The graphs that sampling runs. Between two attentions everything happens row by row, so the model is cut there: a
 * segment holds one layer's end and the next layer's beginning, with their weights as part of the program, and serves any
 * number of rows (a row is one block of one sample in one guidance branch). Attention has no weights and serves every layer
 * and branch.
 */

import { at, take } from '../at.ts';
import { type Graph, graphOf } from '../graph/onnx.ts';
import { add, attention, concat, matmul, split, transpose } from '../graph/operators/index.ts';
import { cutAt, substituteInGraph } from '../graph/partition.ts';
import { type Dim, input, type SymbolicTensor } from '../graph/symbolic.ts';
import { type AcditConfig, headSize, tokenSize } from '../models/acdit/config.ts';
import {
  conditions,
  feedForwardInPieces,
  modulations,
  predictNoise,
  type RopeSymbols,
  rotate,
} from '../models/acdit/transformer.ts';
import {
  FINAL_MODULATIONS,
  LAYER_MODULATIONS,
  modelInputs,
  TIMESTEP_FEATURES,
} from '../models/acdit/weights.ts';

/** Condition vectors of (timestep, label) pairs: `features` (K, 256) and `labels` (K) to `condition` (K, C). */
export function conditionGraph(config: AcditConfig): Graph {
  const features = input('features', ['pairs', TIMESTEP_FEATURES]);
  // GPUs have no kernels for int64.
  const labels = input('labels', ['pairs'], 'int32');
  return weightsFirst(graphOf({ condition: conditions(modelInputs(config).embedder, features, labels) }));
}

/** `count` modulation vectors of each pair: `condition` (K, C) to `modulation` (K, count, C). */
export function modulationGraph({ hidden }: AcditConfig, count: number): Graph {
  const condition = input('condition', ['pairs', hidden]);
  const weight = input('weight', [count * hidden, hidden]);
  const bias = input('bias', [count * hidden]);
  return weightsFirst(graphOf({ modulation: modulations(weight, bias, condition, count) }));
}

/**
 * The same graph with each x Wᵀ as the transpose of W xᵀ. A product that is not packed is split among threads along its
 * longer side, and where pieces get narrow, its sums are added up in another order. With the weights' outputs as rows
 * only rows are split, so results do not depend on the number of threads.
 */
function weightsFirst(graph: Graph): Graph {
  return substituteInGraph(graph, ({ source }, inputs) => {
    if (source.kind !== 'node' || source.node.operator !== 'Gemm') return undefined;
    const [x, weight, bias] = take(inputs, 2);
    const product = transpose(matmul(weight, transpose(x, [1, 0])), [1, 0]);
    return bias ? add(product, bias) : product;
  });
}

/** Shapes of what segments take and give, of one row. `cos` and `sin` are tables of its positions. */
export function rowShapes(config: AcditConfig) {
  const { blockSize, hidden, heads } = config;
  const perHead = [heads, blockSize, headSize(config)];
  return {
    tokens: [1, blockSize, tokenSize(config)],
    cos: [1, blockSize, headSize(config)],
    sin: [1, blockSize, headSize(config)],
    hidden: [1, blockSize, hidden],
    modulation: [1, LAYER_MODULATIONS, hidden],
    finalModulation: [1, FINAL_MODULATIONS, hidden],
    query: perHead,
    key: perHead,
    value: perHead,
    attended: perHead,
  };
}

/**
 * The segments 0 to L of a denoising step of a model of L layers: its graph, cut where each layer's attention is known.
 * There may be any number of rows of the {@link rowShapes}.
 *
 * - Segment 0 embeds `tokens`, and layer 0 begins.
 * - Segment i ends layer i - 1 from the hidden vectors `hidden.<i - 1>` and `attended.<i - 1>`, and layer i begins.
 * - Segment L ends the last layer, and predicts `noise` (rows, 1, B, token size).
 *
 * The beginning of layer i gives `hidden.<i>`, which segment i + 1 continues with, and `query.<i>`, `key.<i>` and `value.<i>`.
 * It takes `cos` and `sin`. The beginning and the end of a layer take its `modulation.<i>`, segment L also
 * `finalModulation`. Weights have their names in the whole model.
 */
export function segmentGraphs(config: AcditConfig): Graph[] {
  const shapes = rowShapes(config);
  const rows = (shape: readonly number[], name: string): SymbolicTensor => input(name, ['rows', ...shape]);
  const ofLayers = (shape: readonly number[], name: string): SymbolicTensor[] =>
    Array.from({ length: config.layers }, (_, layer) => rows(shape, numbered(name, layer)));
  const tokens = rows(shapes.tokens, 'tokens');
  const rope = { cos: rows(shapes.cos, 'cos'), sin: rows(shapes.sin, 'sin') };
  const rowModulations = {
    layers: ofLayers(shapes.modulation, 'modulation'),
    final: rows(shapes.finalModulation, 'finalModulation'),
  };
  const attended = ofLayers(shapes.attended, 'attended');
  const attentionInputs: Record<string, SymbolicTensor> = {};
  const noise = predictNoise(modelInputs(config), tokens, rowModulations, rope, (layer) => ({
    attend(query, key, value) {
      for (const [name, symbol] of Object.entries({ query, key, value }))
        attentionInputs[numbered(name, layer)] = symbol;
      return at(attended, layer);
    },
    feedForward: feedForwardInPieces,
  }));
  return cutAt(graphOf({ ...attentionInputs, noise }), attended, 'hidden');
}

/** Bytes of scores at a time: a few heads' worth stays in the processor's cache from product to softmax to product. */
const SCORE_BYTES = 6.5e6;

/** Returns sizes that divide `heads` so that the scores of B queries and up to `keys` keys stay small. */
function headGroups({ heads, blockSize }: AcditConfig, keys: number): number[] {
  const most = Math.max(1, Math.floor(SCORE_BYTES / (4 * blockSize * keys)));
  return Array.from({ length: Math.ceil(heads / most) }, (_, i) => Math.min(most, heads - i * most));
}

/** Heads in each of the cache's groups, in which attention takes them too: a group is read as it is. */
export function cacheGroups(config: AcditConfig): number[] {
  return headGroups(config, config.blockSize * config.blocks);
}

/** The name of one of several inputs or outputs of a kind. */
export const numbered = (name: string, index: number): string => `${name}.${index}`;

/** Queries, keys and values (N, H, B, D). */
export type AttentionInputs = ReturnType<typeof attentionSymbols>;

/** One guidance branch's queries, keys and values (1, H, B, D), named with `suffix`. */
function attentionSymbols(config: AcditConfig, suffix: string) {
  const shape = [1, config.heads, config.blockSize, headSize(config)];
  return {
    query: input(`query${suffix}`, shape),
    key: input(`key${suffix}`, shape),
    value: input(`value${suffix}`, shape),
  };
}

/** Keys or values of the clean blocks, (N, heads of the group, cached, D) for each group. */
function cacheSymbols(config: AcditConfig, samples: number, name: string, cached: string): SymbolicTensor[] {
  return cacheGroups(config).map((heads, group) =>
    input(numbered(name, group), [samples, heads, cached, headSize(config)]),
  );
}

/** The cached keys or values with a block's own appended, by groups of heads. */
function appended(past: readonly SymbolicTensor[], own: SymbolicTensor): SymbolicTensor[] {
  return split(own, 1, headsOf(past)).map((part, group) => concat([at(past, group), part], 2));
}

/** Attention of all heads, in groups as `keys` and `values` come. */
function attendByGroups(
  query: SymbolicTensor,
  keys: readonly SymbolicTensor[],
  values: readonly SymbolicTensor[],
): SymbolicTensor {
  return concat(
    split(query, 1, headsOf(keys)).map((part, group) => attention(part, at(keys, group), at(values, group))),
    1,
  );
}

/** The number of heads in each group. */
function headsOf(groups: readonly SymbolicTensor[]): number[] {
  return groups.map(({ shape }) => Number(shape[1]));
}

/** Keys and values of the clean blocks for one layer or sequence, by groups of heads. */
export type PastSymbols = ReturnType<typeof pastSymbols>;

/** Inputs for what is cached, named with `suffix`. */
export function pastSymbols(config: AcditConfig, samples: number, suffix: string, cached: string) {
  return {
    keys: cacheSymbols(config, samples, `cachedKeys${suffix}`, cached),
    values: cacheSymbols(config, samples, `cachedValues${suffix}`, cached),
  };
}

/** One guidance branch's attention (N, H, B, D) of its own keys and values after those of the clean blocks, if any. */
export function attendWithPast(
  config: AcditConfig,
  { query, key, value }: AttentionInputs,
  past: PastSymbols | undefined,
): SymbolicTensor {
  if (past) return attendByGroups(query, appended(past.keys, key), appended(past.values, value));
  const alone = headGroups(config, config.blockSize);
  return attendByGroups(query, split(key, 1, alone), split(value, 1, alone));
}

/** What attention programs are made for. */
interface AttentionOptions {
  /** Independent sequences, with any number of clean blocks. */
  readonly sequences: number;
  /** Whether there are clean blocks. */
  readonly cached: boolean;
}

/**
 * Attention of a denoising step: of each sequence s, for each guidance branch b, `query.s.b`, `key.s.b` and `value.s.b`
 * (1, H, B, D) of the block in progress, after the clean blocks' `cachedKeys.s.g` and `cachedValues.s.g`, give
 * `attended.s.b`. Each sequence has products of its own: one product for all would be split differently among the
 * threads, and rounded differently, if there are several.
 */
export function denoiseAttentionGraph(
  config: AcditConfig,
  { branches, cached, sequences }: AttentionOptions & { readonly branches: number },
): Graph {
  const attended: Record<string, SymbolicTensor> = {};
  for (let s = 0; s < sequences; s++) {
    const past = cached ? pastSymbols(config, 1, `.${s}`, `cached${s}`) : undefined;
    for (let b = 0; b < branches; b++) {
      const own = attentionSymbols(config, `.${s}.${b}`);
      attended[`attended.${s}.${b}`] = attendWithPast(config, own, past);
    }
  }
  return graphOf(attended);
}

interface AppendOptions extends AttentionOptions {
  /** False where only the cache is wanted: nothing reads the last layer's result. */
  readonly attend: boolean;
  /** Whether the cache also keeps keys before rotation, `plainKeys.s.g`; queries and keys then come unrotated. */
  readonly sliding: boolean;
}

/**
 * Attention of finished blocks, which join the cache: `keys.s.g` and `values.s.g` are the cache of sequence s with its
 * block appended.
 */
export function appendAttentionGraph(config: AcditConfig, options: AppendOptions): Graph {
  const outputs = Array.from({ length: options.sequences }, (_, s) => sequenceAppend(config, options, s));
  return graphOf(Object.assign({}, ...outputs));
}

function sequenceAppend(
  config: AcditConfig,
  { cached, attend, sliding }: AppendOptions,
  sequence: number,
): Record<string, SymbolicTensor> {
  const suffix = `.${sequence}`;
  const { query, key, value } = attentionSymbols(config, `${suffix}.0`);
  const rope = ropeInputs(config, config.blockSize, suffix);
  const turn = (x: SymbolicTensor): SymbolicTensor => (sliding ? rotate(x, rope) : x);
  const joined = (pastName: string, x: SymbolicTensor): readonly SymbolicTensor[] =>
    cached
      ? appended(cacheSymbols(config, 1, pastName + suffix, `cached${sequence}`), x)
      : split(x, 1, cacheGroups(config));
  const keys = joined('cachedKeys', turn(key));
  const values = joined('cachedValues', value);
  const plainKeys = sliding ? joined('cachedPlainKeys', key) : [];
  const named = (name: string, parts: readonly SymbolicTensor[]): [string, SymbolicTensor][] =>
    parts.map((part, group) => [numbered(name + suffix, group), part]);
  return Object.fromEntries([
    ...named('keys', keys),
    ...named('values', values),
    ...named('plainKeys', plainKeys),
    ...(attend ? named('attended', [attendByGroups(turn(query), keys, values)]) : []),
  ]);
}

function ropeInputs(config: AcditConfig, tokens: Dim, suffix = ''): RopeSymbols {
  const shape = [tokens, headSize(config)];
  return { cos: input(`cos${suffix}`, shape), sin: input(`sin${suffix}`, shape) };
}

/** A group's `plainKeys` (N, heads of the group, kept, D), rotated to `keys` by tables of their tokens' places. */
export function rotateKeysGraph(config: AcditConfig, samples: number, heads: number): Graph {
  const plain = input('plainKeys', [samples, heads, 'kept', headSize(config)]);
  return graphOf({ keys: rotate(plain, ropeInputs(config, 'kept')) });
}
