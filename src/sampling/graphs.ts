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
  const labels = input('labels', ['pairs'], 'int64');
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

/**
 * The segments 0 to L of a denoising step of a model of L layers: its graph, cut where each layer's attention is known.
 * Rows (rows, 1, B, ..) may be any.
 *
 * - Segment 0 embeds `tokens` (rows, 1, B, token size), and layer 0 begins.
 * - Segment i ends layer i - 1 from the hidden vectors `hidden.<i - 1>` (rows, 1, B, C) and `attended.<i - 1>`
 *   (rows, H, B, D), and layer i begins.
 * - Segment L ends the last layer, and predicts `noise` (rows, 1, B, token size).
 *
 * The beginning of layer i gives `hidden.<i>`, which segment i + 1 continues with, and `query.<i>`, `key.<i>` and `value.<i>`
 * (rows, H, B, D). It takes tables `cos` and `sin` (rows, 1, B, D) of each row's positions. The beginning and the end of a
 * layer take its `modulation.<i>` (rows, 1, 6, C), segment L also `finalModulation` (rows, 1, 2, C). Weights have their
 * names in the whole model.
 */
export function segmentGraphs(config: AcditConfig): Graph[] {
  const { blockSize, hidden, heads, layers } = config;
  const row = (name: string, ...shape: number[]): SymbolicTensor => input(name, ['rows', ...shape]);
  const tokens = row('tokens', 1, blockSize, tokenSize(config));
  const rope = {
    cos: row('cos', 1, blockSize, headSize(config)),
    sin: row('sin', 1, blockSize, headSize(config)),
  };
  const rowModulations = {
    layers: Array.from({ length: layers }, (_, i) =>
      row(numbered('modulation', i), 1, LAYER_MODULATIONS, hidden),
    ),
    final: row('finalModulation', 1, FINAL_MODULATIONS, hidden),
  };
  const attended = rowModulations.layers.map((_, i) =>
    row(numbered('attended', i), heads, blockSize, headSize(config)),
  );
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
export interface AttentionInputs {
  readonly query: SymbolicTensor;
  readonly key: SymbolicTensor;
  readonly value: SymbolicTensor;
}

/** One guidance branch's queries, keys and values (1, H, B, D), named with `suffix`. */
function attentionSymbols(config: AcditConfig, suffix: string): AttentionInputs {
  const shape = [1, config.heads, config.blockSize, headSize(config)];
  return {
    query: input(`query${suffix}`, shape),
    key: input(`key${suffix}`, shape),
    value: input(`value${suffix}`, shape),
  };
}

/** Keys or values of the clean blocks, (N, heads of the group, cached, D) for each group. */
function cacheSymbols(
  config: AcditConfig,
  samples: number,
  name: string,
  cached = 'cached',
): SymbolicTensor[] {
  return cacheGroups(config).map((heads, group) =>
    input(numbered(name, group), [samples, heads, cached, headSize(config)]),
  );
}

/** The cached keys or values with a block's own appended, by groups of heads. */
function appended(past: readonly SymbolicTensor[], own: SymbolicTensor): SymbolicTensor[] {
  const heads = past.map(({ shape }) => Number(shape[1]));
  return split(own, 1, heads).map((part, group) => concat([at(past, group), part], 2));
}

/** Attention of all heads, in groups as `keys` and `values` come. */
function attendByGroups(
  query: SymbolicTensor,
  keys: readonly SymbolicTensor[],
  values: readonly SymbolicTensor[],
): SymbolicTensor {
  const heads = keys.map(({ shape }) => Number(shape[1]));
  return concat(
    split(query, 1, heads).map((part, group) => attention(part, at(keys, group), at(values, group))),
    1,
  );
}

/** Keys or values of the clean blocks for one layer or sequence, by groups of heads. */
export interface PastSymbols {
  readonly keys: readonly SymbolicTensor[];
  readonly values: readonly SymbolicTensor[];
}

/** Inputs for what is cached, named with `suffix`. */
export function pastSymbols(
  config: AcditConfig,
  samples: number,
  suffix: string,
  cached: string,
): PastSymbols {
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

/** What {@link denoiseAttentionGraph} is made for. */
export interface DenoiseOptions {
  /** Guidance branches of each sequence. */
  readonly branches: number;
  /** Whether there are clean blocks. */
  readonly cached: boolean;
  /** Independent sequences, with any number of clean blocks. */
  readonly sequences: number;
}

/**
 * Attention of a denoising step: of each sequence s, for each guidance branch b, `query.s.b`, `key.s.b` and `value.s.b`
 * (1, H, B, D) of the block in progress, after the clean blocks' `cachedKeys.s.g` and `cachedValues.s.g`, give
 * `attended.s.b`. Each sequence has products of its own: one product for all would be split differently among the
 * threads, and rounded differently, if there are several.
 */
export function denoiseAttentionGraph(config: AcditConfig, options: DenoiseOptions): Graph {
  return sideBySide(options.sequences, (s) => sequenceAttention(config, options, s));
}

/** Joins several independent graphs into one. */
function sideBySide(count: number, graphOf: (sequence: number) => Graph): Graph {
  const graphs = Array.from({ length: count }, (_, s) => graphOf(s));
  return {
    inputs: graphs.flatMap(({ inputs }) => inputs),
    outputs: Object.assign({}, ...graphs.map(({ outputs }) => outputs)),
  };
}

function sequenceAttention(
  config: AcditConfig,
  { branches, cached }: DenoiseOptions,
  sequence: number,
): Graph {
  const own = Array.from({ length: branches }, (_, b) => attentionSymbols(config, `.${sequence}.${b}`));
  const past = cached ? pastSymbols(config, 1, `.${sequence}`, `cached${sequence}`) : undefined;
  const results = own.map((branch) => attendWithPast(config, branch, past));
  return {
    inputs: [
      ...own.flatMap(({ query, key, value }) => [query, key, value]),
      ...(past ? [...past.keys, ...past.values] : []),
    ],
    outputs: Object.fromEntries(results.map((attended, b) => [`attended.${sequence}.${b}`, attended])),
  };
}

/** What {@link appendAttentionGraph} is made for. */
export interface AppendOptions {
  /** Whether there are clean blocks already. */
  readonly cached: boolean;
  /** False where only the cache is wanted: nothing reads the last layer's result. */
  readonly attend: boolean;
  /** Whether the cache also keeps keys before rotation, `plainKeys.s.g`; queries and keys then come unrotated. */
  readonly sliding: boolean;
  /** Independent sequences. */
  readonly sequences: number;
}

/**
 * Attention of finished blocks, which join the cache: `keys.s.g` and `values.s.g` are the cache of sequence s with its
 * block appended.
 */
export function appendAttentionGraph(config: AcditConfig, options: AppendOptions): Graph {
  return sideBySide(options.sequences, (s) => sequenceAppend(config, options, s));
}

function sequenceAppend(
  config: AcditConfig,
  { cached, attend, sliding }: AppendOptions,
  sequence: number,
): Graph {
  const suffix = `.${sequence}`;
  const own = attentionSymbols(config, `${suffix}.0`);
  const rope = ropeInputs(config, config.blockSize, suffix);
  const turn = (x: SymbolicTensor): SymbolicTensor => (sliding ? rotate(x, rope) : x);
  const past = (name: string): SymbolicTensor[] =>
    cached ? cacheSymbols(config, 1, name + suffix, `cached${sequence}`) : [];
  const [pastKeys, pastValues] = [past('cachedKeys'), past('cachedValues')];
  const pastPlain = sliding ? past('cachedPlainKeys') : [];
  const joined = (earlier: readonly SymbolicTensor[], x: SymbolicTensor): readonly SymbolicTensor[] =>
    cached ? appended(earlier, x) : split(x, 1, cacheGroups(config));
  const keys = joined(pastKeys, turn(own.key));
  const values = joined(pastValues, own.value);
  const plainKeys = sliding ? joined(pastPlain, own.key) : [];
  const named = (name: string, parts: readonly SymbolicTensor[]): [string, SymbolicTensor][] =>
    parts.map((part, group) => [numbered(name + suffix, group), part]);
  return {
    inputs: [
      ...(attend ? [own.query] : []),
      own.key,
      own.value,
      ...(sliding ? [rope.cos, rope.sin] : []),
      ...pastKeys,
      ...pastValues,
      ...pastPlain,
    ],
    outputs: Object.fromEntries([
      ...named('keys', keys),
      ...named('values', values),
      ...named('plainKeys', plainKeys),
      ...(attend ? [[`attended${suffix}.0`, attendByGroups(turn(own.query), keys, values)] as const] : []),
    ]),
  };
}

function ropeInputs(config: AcditConfig, tokens: Dim, suffix = ''): RopeSymbols {
  const shape = [tokens, headSize(config)];
  return { cos: input(`cos${suffix}`, shape), sin: input(`sin${suffix}`, shape) };
}

/** A group's `plainKeys` (N, heads of the group, kept, D), rotated to `keys` by tables of their tokens' places. */
export function rotateKeysGraph(config: AcditConfig, samples: number, heads: number): Graph {
  const plain = input('plainKeys', [samples, heads, 'kept', headSize(config)]);
  const rope = ropeInputs(config, 'kept');
  return { inputs: [plain, rope.cos, rope.sin], outputs: { keys: rotate(plain, rope) } };
}
