/**
 * @file The graphs that sampling runs. Between two attentions everything happens row by row, so the trunk is cut
 * there: a segment holds one layer's end and the next layer's beginning, with their weights as part of the program,
 * and serves any number of samples and branches; attention has no weights and serves every layer and branch.
 */

import type { Graph } from '../graph/onnx.ts';
import { add, attention, concat, linear, matmul, split, transpose } from '../graph/operators/index.ts';
import { substituteInGraph } from '../graph/substitute.ts';
import { type Dim, input, type SymbolicTensor } from '../graph/symbolic.ts';
import { type AcditConfig, headSize, tokenSize } from '../models/acdit/config.ts';
import {
  type AttentionInputs,
  afterAttention,
  attentionInputs,
  conditions,
  finalLayer,
  type LayerSymbols,
  modulations,
  type RopeSymbols,
  rotate,
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
  return weightsFirst({
    inputs: [features, labels, ...Object.values(weights)],
    outputs: { condition: conditions(weights, features, labels) },
  });
}

/** `count` modulation vectors of each pair: `condition` (K, C) to `modulation` (K, count, C). */
export function modulationGraph({ hidden }: AcditConfig, count: number): Graph {
  const condition = input('condition', ['pairs', hidden]);
  const weight = input('weight', [count * hidden, hidden]);
  const bias = input('bias', [count * hidden]);
  return weightsFirst({
    inputs: [condition, weight, bias],
    outputs: { modulation: modulations(weight, bias, condition, count) },
  });
}

/**
 * The same graph with each x Wᵀ as the transpose of W xᵀ. A product that is not packed is split among threads along its
 * longer side, and where pieces get narrow, its sums are added up in another order. With the weights' outputs as rows
 * only rows are split, so results do not depend on the number of threads.
 */
function weightsFirst(graph: Graph): Graph {
  return substituteInGraph(graph, ({ source }, [x, weight, bias]) => {
    if (source.kind !== 'node' || source.node.operator !== 'Gemm') return undefined;
    const product = transpose(matmul(weight, transpose(x, [1, 0])), [1, 0]);
    return bias ? add(product, bias) : product;
  });
}

/**
 * Segment number `index` of 0 to `layers`. A group is one block of one sample in one branch.
 *
 * - 0: `tokens` (groups, B, token size) are embedded, and layer 0 begins;
 * - between: layer index - 1 ends from `blocks` and `attended`, and layer index begins;
 * - `layers`: the last layer ends, and the final layer predicts `noise` (groups, 1, B, token size).
 *
 * A beginning gives `query`, `key` and `value` (groups, H, B, D), and the hidden vectors `nextBlocks` (groups, 1, B, C)
 * to go on with; it takes tables `cos` and `sin` of each group's places. Weight inputs are `end.*` and `begin.*`, or
 * official names outside the layers.
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
  const places = ['groups', 1, blockSize, headSize(config)];
  const rope = { cos: take(input('cos', places)), sin: take(input('sin', places)) };
  const weights = takeAll(layerSymbols(config, 'begin.', BEFORE_ATTENTION));
  const modulation = modulationInput('beginModulation', LAYER_MODULATIONS);
  const { query, key, value } = attentionInputs(config, weights, blocks, modulation, rope);
  return { inputs, outputs: { nextBlocks: blocks, query, key, value } };
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

/** What stands behind the cached keys or values, by groups of heads. */
function behind(past: readonly SymbolicTensor[], own: SymbolicTensor): SymbolicTensor[] {
  const heads = past.map(({ shape }) => Number(shape[1]));
  return split(own, 1, heads).map((part, group) => concat([past[group], part], 2));
}

/** Attention of all heads, in groups as `keys` and `values` come. */
function attendByGroups(
  query: SymbolicTensor,
  keys: readonly SymbolicTensor[],
  values: readonly SymbolicTensor[],
): SymbolicTensor {
  const heads = keys.map(({ shape }) => Number(shape[1]));
  return concat(
    split(query, 1, heads).map((part, group) => attention(part, keys[group], values[group])),
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

/** One guidance branch's attention (N, H, B, D) of its own keys and values behind those of the clean blocks, if any. */
export function attendBehind(
  config: AcditConfig,
  { query, key, value }: AttentionInputs,
  past: PastSymbols | undefined,
): SymbolicTensor {
  if (past) return attendByGroups(query, behind(past.keys, key), behind(past.values, value));
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
  const results = own.map((branch) => attendBehind(config, branch, past));
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
    cached ? behind(earlier, x) : split(x, 1, cacheGroups(config));
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
