/**
 * @file ACDiT as functions of symbolic tensors (paper section 3, figure 2). Clean and noised tokens take the same path: a
 * clean one is modulated with shift 0, scale 0 and gate 1.
 */

import { at, float32At, take } from '../../at.ts';
import {
  add,
  attention,
  concat,
  gatherRows,
  gelu,
  linear,
  linearOnto,
  multiply,
  reshape,
  rmsNorm,
  scale,
  shift,
  silu,
  slice,
  split,
  transpose,
} from '../../graph/operators/index.ts';
import { productDim } from '../../graph/shapes.ts';
import { constant, type SymbolicTensor } from '../../graph/symbolic.ts';
import { float32, type Tensor } from '../../tensor/tensor.ts';
import { type AttentionPlan, keyAtoms } from './attention-plan.ts';
import {
  CLEAN_MODULATION,
  type EmbedderSymbols,
  FINAL_MODULATIONS,
  type FinalSymbols,
  LAYER_MODULATIONS,
  type LayerSymbols,
  type ModelSymbols,
  TIMESTEP_FEATURES,
} from './weights.ts';

const NORM_EPSILON = 1e-6;

/** Cosine and signed sine tables of the sequence's tokens, (S, D) each, or (N, 1, S, D) where samples differ. */
export interface RopeSymbols {
  readonly cos: SymbolicTensor;
  readonly sin: SymbolicTensor;
}

/**
 * How queries meet keys and values, all (N, H, S, D): a plan in training, a cache in sampling. The last are the keys before
 * their rotation.
 */
export type Attend = (
  query: SymbolicTensor,
  key: SymbolicTensor,
  value: SymbolicTensor,
  plainKey: SymbolicTensor,
) => SymbolicTensor;

/** What may differ from layer to layer, and from one use of the model to another. */
export interface LayerOptions {
  readonly attend: Attend;
  /** The feed-forward network; default: {@link feedForward}. */
  readonly feedForward?: (weights: LayerSymbols, x: SymbolicTensor) => SymbolicTensor;
  /** Blocks before it are only keys and values: they are not in the result. Default: 0. */
  readonly firstQuery?: number;
}

/**
 * One layer (figure 2): hidden vectors (N, T, B, C) with modulations (N, T, 6, C).
 * @returns hidden vectors (N, T - firstQuery, B, C)
 */
export function transformerLayer(
  weights: LayerSymbols,
  hidden: SymbolicTensor,
  modulation: SymbolicTensor,
  rope: RopeSymbols,
  { attend, feedForward: network = feedForward, firstQuery = 0 }: LayerOptions,
): SymbolicTensor {
  const [, blocks, blockSize] = take(hidden.shape.map(Number), 3);
  const headSize = Number(rope.cos.shape.at(-1));
  const ofQueries = (x: SymbolicTensor): SymbolicTensor => slice(x, 1, firstQuery, blocks);
  const [shift1, scale1, gate1, shift2, scale2, gate2] = split(modulation, 2, [1, 1, 1, 1, 1, 1]);

  const normalized = modulate(hidden, weights['norm1.weight'], shift1, scale1);
  const query = product(weights, 'attn.query', ofQueries(normalized));
  const key = product(weights, 'attn.key', normalized);
  const value = product(weights, 'attn.value', normalized);
  const plainKey = splitHeads(key, headSize, weights['attn.k_norm.weight']);
  const attended = attend(
    rotate(
      splitHeads(query, headSize, weights['attn.q_norm.weight']),
      queryTables(rope, firstQuery * blockSize, blocks * blockSize),
    ),
    rotate(plainKey, rope),
    splitHeads(value, headSize),
    plainKey,
  );
  const joined = reshape(transpose(attended, [0, 2, 1, 3]), query.shape);
  const projected = product(weights, 'attn.proj', joined);
  const middle = add(ofQueries(hidden), multiply(ofQueries(gate1), projected));

  const normalizedMiddle = modulate(middle, weights['norm2.weight'], ofQueries(shift2), ofQueries(scale2));
  return add(middle, multiply(ofQueries(gate2), network(weights, normalizedMiddle)));
}

/** What a layer multiplies by. */
type LayerProduct = `attn.${'query' | 'key' | 'value' | 'proj'}` | 'mlp.fc1' | 'mlp.fc2';

/** x W^T + b, with a weight and a bias of the layer. */
function product(weights: LayerSymbols, name: LayerProduct, x: SymbolicTensor): SymbolicTensor {
  return linear(x, weights[`${name}.weight` as const], weights[`${name}.bias` as const]);
}

/** RMSNorm(x) w (1 + scale) + shift, with the small product w (1 + scale) taken first. */
function modulate(
  x: SymbolicTensor,
  weight: SymbolicTensor,
  shiftBy: SymbolicTensor,
  scaleBy: SymbolicTensor,
): SymbolicTensor {
  return add(multiply(rmsNorm(x, NORM_EPSILON), multiply(weight, shift(scaleBy, 1))), shiftBy);
}

/** (N, T, B, C) as heads (N, H, S, D), each with RMSNorm if there is a weight for it. */
function splitHeads(x: SymbolicTensor, headSize: number, normWeight?: SymbolicTensor): SymbolicTensor {
  const [samples, blocks, blockSize, hidden] = take(x.shape, 4);
  const heads = reshape(x, [samples, productDim([blocks, blockSize]), Number(hidden) / headSize, headSize]);
  return transpose(normWeight ? rmsNorm(heads, NORM_EPSILON, normWeight) : heads, [0, 2, 1, 3]);
}

/** Tables of the tokens `start` to `end`, times attention's 1 / sqrt(D), which costs nothing on them. */
function queryTables({ cos, sin }: RopeSymbols, start: number, end: number): RopeSymbols {
  const factor = 1 / Math.sqrt(Number(cos.shape.at(-1)));
  const rows = (table: SymbolicTensor): SymbolicTensor => scale(slice(table, -2, start, end), factor);
  return { cos: rows(cos), sin: rows(sin) };
}

/** RoPE-ND of queries or keys (N, H, S, D), by tables of their tokens. */
export function rotate(x: SymbolicTensor, { cos, sin }: RopeSymbols): SymbolicTensor {
  return add(multiply(x, cos), multiply(swapHalves(x), sin));
}

function swapHalves(x: SymbolicTensor): SymbolicTensor {
  const size = Number(x.shape.at(-1));
  const [first, second] = split(x, -1, [size / 2, size / 2]);
  return concat([second, first], -1);
}

/** The feed-forward network: two products with an activation between them. */
export function feedForward(weights: LayerSymbols, x: SymbolicTensor, activate = gelu): SymbolicTensor {
  return product(weights, 'mlp.fc2', activate(product(weights, 'mlp.fc1', x)));
}

/** How {@link feedForwardInPieces} cuts the network. */
export interface PieceOptions {
  /** Default: {@link gelu}. */
  readonly activate?: (wide: SymbolicTensor) => SymbolicTensor;
  /** Wide neurons per piece (default: C). */
  readonly neurons?: number;
}

/**
 * The feed-forward network in pieces of wide neurons, each of which adds its share to the result: what passes between
 * the two products then fits in the processor's cache. If weights are part of the program, cutting them costs nothing when
 * it runs.
 */
export function feedForwardInPieces(
  weights: LayerSymbols,
  x: SymbolicTensor,
  { activate = gelu, neurons = Number(x.shape.at(-1)) }: PieceOptions = {},
): SymbolicTensor {
  const sizes = pieceSizes(Number(weights['mlp.fc1.weight'].shape[0]), neurons);
  const widening = split(weights['mlp.fc1.weight'], 0, sizes);
  const biases = split(weights['mlp.fc1.bias'], 0, sizes);
  const narrowing = split(weights['mlp.fc2.weight'], 1, sizes);
  const pieces = narrowing.map((narrow, i) => ({
    wide: activate(linear(x, at(widening, i), at(biases, i))),
    narrow,
  }));
  const [first, ...others] = take(pieces, 1);
  return others.reduce(
    (sum, { wide, narrow }) => linearOnto(sum, wide, narrow),
    linear(first.wide, first.narrow, weights['mlp.fc2.bias']),
  );
}

/** Sizes of pieces of at most `size`, but for the last all of that size. */
export function pieceSizes(total: number, size: number): number[] {
  return Array.from({ length: Math.ceil(total / size) }, (_, i) => Math.min(size, total - i * size));
}

/** Modulation vectors of all layers. */
export interface Modulations {
  /** One tensor per layer (N, T, 6, C). */
  readonly layers: readonly SymbolicTensor[];
  /** That of the final layer (N, T, 2, C). */
  readonly final: SymbolicTensor;
}

/**
 * The whole model: tokens (N, T, B, token size) to the noise that it predicts in them.
 * @param optionsOf what differs from layer to layer
 */
export function predictNoise(
  weights: ModelSymbols,
  tokens: SymbolicTensor,
  modulations: Modulations,
  rope: RopeSymbols,
  optionsOf: (layer: number) => LayerOptions,
): SymbolicTensor {
  let hidden = linear(tokens, weights.embedder['x_embedder.weight']);
  for (const [layer, layerWeights] of weights.layers.entries()) {
    hidden = transformerLayer(layerWeights, hidden, at(modulations.layers, layer), rope, optionsOf(layer));
  }
  return finalLayer(weights.final, hidden, modulations.final);
}

/** Attention by a plan over the whole sequence: queries, keys and values (N, H, S, D); there may be only the plan's queries. */
export function planAttention(plan: AttentionPlan): Attend {
  return (query, key, value) => {
    const atoms = keyAtoms(plan);
    const sizes = atoms.map(({ start, end }) => end - start);
    const keys = split(key, 2, sizes);
    const values = split(value, 2, sizes);
    const querySizes = plan.tiles.map((tile) => tile.queries.end - tile.queries.start);
    const queries = split(query, 2, querySizes);
    const results = plan.tiles.map((tile, i) => {
      const seen = atoms.flatMap((atom, j) =>
        tile.keys.some(({ start, end }) => atom.start >= start && atom.end <= end) ? [j] : [],
      );
      const [seenKeys, seenValues] = [seen.map((j) => at(keys, j)), seen.map((j) => at(values, j))];
      return attention(at(queries, i), concat(seenKeys, 2), concat(seenValues, 2), maskOf(tile));
    });
    return concat(results, 2);
  };
}

function maskOf({ queries, allowed }: AttentionPlan['tiles'][number]): SymbolicTensor | undefined {
  if (!allowed) return undefined;
  const rows = queries.end - queries.start;
  const bias = Float32Array.from(allowed, (value) => (value ? 0 : Number.NEGATIVE_INFINITY));
  return constant(float32([rows, allowed.length / rows], bias));
}

/**
 * Condition vectors: timestep embedding plus label embedding.
 * @param features (K, 256) from `timestepFeatures`
 * @param labels (K) int64
 * @returns (K, C)
 */
export function conditions(
  weights: EmbedderSymbols,
  features: SymbolicTensor,
  labels: SymbolicTensor,
): SymbolicTensor {
  const wide = silu(linear(features, weights['t_embedder.mlp.0.weight'], weights['t_embedder.mlp.0.bias']));
  const time = linear(wide, weights['t_embedder.mlp.2.weight'], weights['t_embedder.mlp.2.bias']);
  return add(time, gatherRows(weights['y_embedder.embedding_table.weight'], labels));
}

/** adaLN-Zero: `count` modulation vectors for each condition, (K, C) to (K, count, C). */
export function modulations(
  weight: SymbolicTensor,
  bias: SymbolicTensor,
  condition: SymbolicTensor,
  count: number,
): SymbolicTensor {
  const [rows, hidden] = take(condition.shape, 2);
  return reshape(linear(silu(condition), weight, bias), [rows, count, hidden]);
}

/** A layer's modulations of each condition, (K, C) to (K, 6, C). */
export function layerModulations(weights: LayerSymbols, condition: SymbolicTensor): SymbolicTensor {
  const { 'adaLN_modulation.1.weight': weight, 'adaLN_modulation.1.bias': bias } = weights;
  return modulations(weight, bias, condition, LAYER_MODULATIONS);
}

/** The final layer's modulations of each condition, (K, C) to (K, 2, C). */
export function finalModulations(weights: FinalSymbols, condition: SymbolicTensor): SymbolicTensor {
  const prefix = 'final_layer.adaLN_modulation.1';
  const [weight, bias] = [weights[`${prefix}.weight`], weights[`${prefix}.bias`]];
  return modulations(weight, bias, condition, FINAL_MODULATIONS);
}

/** A clean token's modulation (1, 1, 6, 1), which fits any blocks. */
export function cleanModulation(): SymbolicTensor {
  return constant(float32([1, 1, LAYER_MODULATIONS, 1], CLEAN_MODULATION));
}

/** The predicted noise: hidden vectors (N, T, B, C) with modulations (N, T, 2, C) to (N, T, B, token size). */
export function finalLayer(
  weights: FinalSymbols,
  hidden: SymbolicTensor,
  modulation: SymbolicTensor,
): SymbolicTensor {
  const [shiftBy, scaleBy] = split(modulation, 2, [1, 1]);
  const normalized = modulate(hidden, weights['final_layer.norm_final.weight'], shiftBy, scaleBy);
  return linear(normalized, weights['final_layer.linear.weight'], weights['final_layer.linear.bias']);
}

/** cos and sin of t / 10000^(i/128), cosines first; t are raw integers 0 to 999. (K) to (K, 256), in float32. */
export function timestepFeatures(timesteps: ArrayLike<number>): Tensor<'float32'> {
  const half = TIMESTEP_FEATURES / 2;
  const frequencies = Float32Array.from({ length: half }, (_, i) => Math.exp((-Math.log(10000) * i) / half));
  const out = new Float32Array(timesteps.length * TIMESTEP_FEATURES);
  for (let k = 0; k < timesteps.length; k++) {
    for (let i = 0; i < half; i++) {
      const angle = Math.fround(at(timesteps, k) * float32At(frequencies, i));
      out[k * TIMESTEP_FEATURES + i] = Math.cos(angle);
      out[k * TIMESTEP_FEATURES + half + i] = Math.sin(angle);
    }
  }
  return float32([timesteps.length, TIMESTEP_FEATURES], out);
}
