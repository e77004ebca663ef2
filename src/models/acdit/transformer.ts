/**
 * @file ACDiT's layers as functions of symbolic tensors (paper section 3, figure 2). Clean and noised tokens
 * walk the same path: a clean one is modulated with shift 0, scale 0 and gate 1.
 */

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
import { constant, input, type SymbolicTensor } from '../../graph/symbolic.ts';
import { float32 } from '../../tensor/tensor.ts';
import { type AttentionPlan, keyAtoms } from './attention-plan.ts';
import { type AcditConfig, headSize } from './config.ts';
import {
  CLEAN_MODULATION,
  LAYER_MODULATIONS,
  layerWeightShapes,
  numberedName,
  parameters,
} from './weights.ts';

const NORM_EPSILON = 1e-6;

/** Weights of a layer by the names of `layerWeights`. */
export type LayerSymbols = Readonly<Record<string, SymbolicTensor>>;

/** Inputs for weights outside the layers, by their official names. */
export function weightInputs(config: AcditConfig, names: readonly string[]): LayerSymbols {
  const shapes = parameters(config);
  return Object.fromEntries(names.map((name) => [name, input(name, shapes.get(name)!)]));
}

/** Cosine and signed sine tables of the sequence's tokens, (S, D) each, or (N, 1, S, D) where samples differ. */
export interface RopeSymbols {
  readonly cos: SymbolicTensor;
  readonly sin: SymbolicTensor;
}

/** How queries meet keys and values, all (N, H, S, D): a plan in training, a cache in sampling. */
export type Attend = (q: SymbolicTensor, k: SymbolicTensor, v: SymbolicTensor) => SymbolicTensor;

/** Inputs for the weights of one layer, all of them or those whose name passes `keep`. */
export function layerInputs(config: AcditConfig, keep: (name: string) => boolean = () => true): LayerSymbols {
  const names = [...layerWeightShapes(config)].filter(([name]) => keep(name));
  return Object.fromEntries(names.map(([name, shape]) => [name, input(name, shape)]));
}

/** Inputs for the weights of layer number `layer` in a program of the whole model, by the names without its number. */
export function numberedLayerInputs(config: AcditConfig, layer: number): LayerSymbols {
  const shapes = [...layerWeightShapes(config)];
  return Object.fromEntries(shapes.map(([name, shape]) => [name, input(numberedName(layer, name), shape)]));
}

/** Queries, keys and values of some blocks, all (N, H, S, D); there may be fewer queries. */
export interface AttentionInputs {
  readonly query: SymbolicTensor;
  readonly key: SymbolicTensor;
  readonly value: SymbolicTensor;
}

/**
 * One layer. Blocks (N, G, B, C) with modulations (N, G, 6, C).
 * @param firstQuery blocks before it are only keys and values: they are not in the result.
 * @returns blocks (N, G - firstQuery, B, C)
 */
export function transformerLayer(
  config: AcditConfig,
  weights: LayerSymbols,
  blocks: SymbolicTensor,
  modulation: SymbolicTensor,
  rope: RopeSymbols,
  attend: Attend,
  firstQuery = 0,
): SymbolicTensor {
  const { query, key, value } = attentionInputs(config, weights, blocks, modulation, rope, firstQuery);
  return afterAttention(config, weights, blocks, modulation, attend(query, key, value), firstQuery);
}

/** {@link transformerLayer} with the feed-forward network undivided: where no processor's cache is to hold its pieces. */
export function undividedLayer(
  config: AcditConfig,
  weights: LayerSymbols,
  blocks: SymbolicTensor,
  modulation: SymbolicTensor,
  rope: RopeSymbols,
  attend: Attend,
  firstQuery = 0,
): SymbolicTensor {
  const { query, key, value } = attentionInputs(config, weights, blocks, modulation, rope, firstQuery);
  const attended = attend(query, key, value);
  const { middle, wide, gate } = widen(config, weights, blocks, modulation, attended, firstQuery);
  return narrow(weights, middle, gelu(wide), gate);
}

/** A layer up to its attention: modulated norm, projections, QK-norm and rotation. */
export function attentionInputs(
  config: AcditConfig,
  weights: LayerSymbols,
  blocks: SymbolicTensor,
  modulation: SymbolicTensor,
  rope: RopeSymbols,
  firstQuery = 0,
): AttentionInputs {
  const [shiftBy, scaleBy] = split(modulation, 2, [1, 1, LAYER_MODULATIONS - 2]);
  const normalized = modulate(blocks, weights['norm1.weight'], shiftBy, scaleBy);
  const [, groups, size] = blocks.shape.map(Number);
  const queryRope = {
    cos: slice(rope.cos, -2, firstQuery * size, groups * size),
    sin: slice(rope.sin, -2, firstQuery * size, groups * size),
  };
  const queries = project(weights, 'query', slice(normalized, 1, firstQuery, groups));
  return {
    query: rotaryHeads(
      config,
      queries,
      weights['attn.q_norm.weight'],
      queryRope,
      1 / Math.sqrt(headSize(config)),
    ),
    ...keysAndValues(config, weights, normalized, rope),
  };
}

/** A layer from its attention's result (N, H, S, D) on: output projection and feed-forward network, each gated. */
export function afterAttention(
  config: AcditConfig,
  weights: LayerSymbols,
  blocks: SymbolicTensor,
  modulation: SymbolicTensor,
  attended: SymbolicTensor,
  firstQuery = 0,
): SymbolicTensor {
  const { middle, normalized, gate } = betweenHalves(
    config,
    weights,
    blocks,
    modulation,
    attended,
    firstQuery,
  );
  return add(middle, multiply(gate, feedForward(config, weights, normalized)));
}

/**
 * The feed-forward network in pieces of C wide neurons, each of which adds its share to the result: what passes between
 * the two products then fits the processor's cache. With weights that are part of the program, cutting them costs
 * nothing when it runs.
 */
function feedForward(config: AcditConfig, weights: LayerSymbols, x: SymbolicTensor): SymbolicTensor {
  const neurons = Number(weights['mlp.fc1.weight'].shape[0]);
  const sizes = Array.from({ length: Math.ceil(neurons / config.hidden) }, (_, i) =>
    Math.min(config.hidden, neurons - i * config.hidden),
  );
  const widening = split(weights['mlp.fc1.weight'], 0, sizes);
  const biases = split(weights['mlp.fc1.bias'], 0, sizes);
  const narrowing = split(weights['mlp.fc2.weight'], 1, sizes);
  const piece = (i: number): SymbolicTensor => gelu(linear(x, widening[i], biases[i]));
  return sizes
    .slice(1)
    .reduce(
      (sum, _, i) => linearOnto(sum, piece(i + 1), narrowing[i + 1]),
      linear(piece(0), narrowing[0], weights['mlp.fc2.bias']),
    );
}

/** A layer between its attention and its activation, all (N, G, B, ...). */
export interface Widened {
  /** Hidden vectors after the attention's half of the layer (.., C). */
  readonly middle: SymbolicTensor;
  /** The feed-forward network's wide vectors, before the activation (.., mlpRatio C). */
  readonly wide: SymbolicTensor;
  /** What the feed-forward network's result is to be multiplied by (N, G, 1, C). */
  readonly gate: SymbolicTensor;
}

/** A layer from its attention's result (N, H, S, D) up to its activation. */
export function widen(
  config: AcditConfig,
  weights: LayerSymbols,
  blocks: SymbolicTensor,
  modulation: SymbolicTensor,
  attended: SymbolicTensor,
  firstQuery = 0,
): Widened {
  const { middle, normalized, gate } = betweenHalves(
    config,
    weights,
    blocks,
    modulation,
    attended,
    firstQuery,
  );
  return { middle, wide: linear(normalized, weights['mlp.fc1.weight'], weights['mlp.fc1.bias']), gate };
}

/** A layer from its attention's result (N, H, S, D) up to the feed-forward network's input `normalized` (N, G, B, C). */
function betweenHalves(
  config: AcditConfig,
  weights: LayerSymbols,
  blocks: SymbolicTensor,
  modulation: SymbolicTensor,
  attended: SymbolicTensor,
  firstQuery: number,
): Record<'middle' | 'normalized' | 'gate', SymbolicTensor> {
  const [samples, groups, size] = blocks.shape;
  const asking = (x: SymbolicTensor): SymbolicTensor => slice(x, 1, firstQuery, Number(groups));
  const [, gateAttention, shiftMlp, scaleMlp, gate] = split(asking(modulation), 2, [2, 1, 1, 1, 1]);
  const rows = reshape(transpose(attended, [0, 2, 1, 3]), [
    samples,
    Number(groups) - firstQuery,
    size,
    config.hidden,
  ]);
  const projected = linear(rows, weights['attn.proj.weight'], weights['attn.proj.bias']);
  const middle = add(asking(blocks), multiply(gateAttention, projected));
  const normalized = modulate(middle, weights['norm2.weight'], shiftMlp, scaleMlp);
  return { middle, normalized, gate };
}

/** A layer from its activation on; the activated wide vectors may be rows of a matrix. */
export function narrow(
  weights: LayerSymbols,
  middle: SymbolicTensor,
  activated: SymbolicTensor,
  gate: SymbolicTensor,
): SymbolicTensor {
  const projected = linear(activated, weights['mlp.fc2.weight'], weights['mlp.fc2.bias']);
  return add(middle, multiply(gate, reshape(projected, middle.shape)));
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

/** Keys and values of blocks (N, G, B, C) that are already modulated: (N, H, S, D), keys normalised and rotated. */
function keysAndValues(
  config: AcditConfig,
  weights: LayerSymbols,
  blocks: SymbolicTensor,
  rope: RopeSymbols,
): { key: SymbolicTensor; value: SymbolicTensor } {
  const keys = project(weights, 'key', blocks);
  const values = project(weights, 'value', blocks);
  return {
    key: rotaryHeads(config, keys, weights['attn.k_norm.weight'], rope, 1),
    value: transpose(heads(config, values), [0, 2, 1, 3]),
  };
}

function project(
  weights: LayerSymbols,
  part: 'query' | 'key' | 'value',
  blocks: SymbolicTensor,
): SymbolicTensor {
  return linear(blocks, weights[`attn.${part}.weight`], weights[`attn.${part}.bias`]);
}

/** (N, G, B, C) as (N, S, H, D). */
function heads(config: AcditConfig, x: SymbolicTensor): SymbolicTensor {
  const [samples, groups, size] = x.shape;
  return reshape(x, [samples, productDim([groups, size]), config.heads, headSize(config)]);
}

/** QK-norm, then heads first, then RoPE-ND: (N, G, B, C) to (N, H, S, D), times `factor`. */
function rotaryHeads(
  config: AcditConfig,
  x: SymbolicTensor,
  weight: SymbolicTensor,
  rope: RopeSymbols,
  factor: number,
): SymbolicTensor {
  // The factor costs nothing on the small tables.
  const table = (values: SymbolicTensor): SymbolicTensor => (factor === 1 ? values : scale(values, factor));
  const normalized = rmsNorm(heads(config, x), NORM_EPSILON, weight);
  return rotate(transpose(normalized, [0, 2, 1, 3]), { cos: table(rope.cos), sin: table(rope.sin) });
}

/** RoPE-ND of queries or keys (N, H, S, D), by tables of their tokens. */
export function rotate(x: SymbolicTensor, { cos, sin }: RopeSymbols): SymbolicTensor {
  return add(multiply(x, cos), multiply(swapHalves(x), sin));
}

function swapHalves(x: SymbolicTensor): SymbolicTensor {
  const size = Number(x.shape[x.shape.length - 1]);
  const [first, second] = split(x, -1, [size / 2, size / 2]);
  return concat([second, first], -1);
}

/** Attention by a plan over the whole sequence: q, k, v (N, H, S, D); q may hold only the plan's queries. */
export function planAttention(plan: AttentionPlan): Attend {
  return (q, k, v) => {
    const atoms = keyAtoms(plan);
    const sizes = atoms.map(({ start, end }) => end - start);
    const keys = split(k, 2, sizes);
    const values = split(v, 2, sizes);
    const queries = split(
      q,
      2,
      plan.tiles.map((tile) => tile.queries.end - tile.queries.start),
    );
    const results = plan.tiles.map((tile, i) => {
      const seen = atoms.flatMap((atom, j) =>
        tile.keys.some(({ start, end }) => atom.start >= start && atom.end <= end) ? [j] : [],
      );
      const pick = (parts: readonly SymbolicTensor[]): SymbolicTensor =>
        concat(
          seen.map((j) => parts[j]),
          2,
        );
      return attention(queries[i], pick(keys), pick(values), maskOf(tile));
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
  weights: LayerSymbols,
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
  const [rows, hidden] = condition.shape;
  return reshape(linear(silu(condition), weight, bias), [rows, count, hidden]);
}

/** A clean token's modulation (1, 1, 6, 1), which fits any blocks. */
export function cleanModulation(): SymbolicTensor {
  return constant(float32([1, 1, LAYER_MODULATIONS, 1], CLEAN_MODULATION));
}

/** The predicted noise: blocks (N, G, B, C) with modulations (N, G, 2, C) to (N, G, B, token size). */
export function finalLayer(
  weights: LayerSymbols,
  blocks: SymbolicTensor,
  modulation: SymbolicTensor,
): SymbolicTensor {
  const [shiftBy, scaleBy] = split(modulation, 2, [1, 1]);
  const normalized = modulate(blocks, weights['final_layer.norm_final.weight'], shiftBy, scaleBy);
  return linear(normalized, weights['final_layer.linear.weight'], weights['final_layer.linear.bias']);
}
