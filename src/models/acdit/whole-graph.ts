/**
 * @file The model as one graph of all layers, for other runtimes than ours: one denoising step of one block, or a
 * finished block's keys and values. Its weights are inputs under the official names, but for the stacked `attn.qkv`,
 * of which there are the views `attn.query`, `attn.key` and `attn.value`.
 */

import type { Graph } from '../../graph/onnx.ts';
import {
  add,
  attention,
  concat,
  gatherRows,
  linear,
  multiply,
  negate,
  reshape,
  shift,
} from '../../graph/operators/index.ts';
import { constant, input, type SymbolicTensor, topologicalOrder } from '../../graph/symbolic.ts';
import { elementCount, float32, type Tensor } from '../../tensor/tensor.ts';
import { type AcditConfig, headSize, tokenSize } from './config.ts';
import { ropeTables, signedTables } from './rope.ts';
import { timestepFeatures } from './timestep.ts';
import {
  cleanModulation,
  conditions,
  finalLayer,
  type LayerSymbols,
  modulations,
  type RopeSymbols,
  transformerLayer,
  weightInputs,
} from './transformer.ts';
import { CONDITION_WEIGHTS, LAYER_MODULATIONS, layerWeightShapes } from './weights.ts';

/** A graph whose weights stand apart from its other inputs. */
export interface WeightedGraph extends Graph {
  /** The weights it uses; they are among the inputs, behind the others. */
  readonly weights: readonly SymbolicTensor[];
}

/** Modulation vectors of the final layer. */
const FINAL_MODULATIONS = 2;
/** Timesteps that a model is trained on. */
const TIMESTEPS = 1000;

/**
 * One pass over one block of N samples.
 *
 * Inputs: `latents` (N, B, token size), the block's tokens; `timesteps` (N) int64, 0 to 999, or -1 for a finished block;
 * `labels` (N) int64, -1 for no class; `block` (1) int64, the block's number; and of each layer `past.I.key` and
 * `past.I.value` (N, H, cached, D), keys and values of the finished blocks before it.
 *
 * Outputs: `noise` (N, B, token size), the noise predicted in the block; and of each layer `present.I.key` and
 * `present.I.value` (N, H, cached + B, D), the past with this block's behind it. After the pass of a finished block they
 * are the next block's past.
 */
export function wholeGraph(config: AcditConfig): WeightedGraph {
  const { blockSize, layers } = config;
  const size = tokenSize(config);
  const latents = input('latents', ['samples', blockSize, size]);
  const timesteps = input('timesteps', ['samples'], 'int64');
  const labels = input('labels', ['samples'], 'int64');
  const block = input('block', [1], 'int64');
  const past = Array.from({ length: layers }, (_, layer) => pastInputs(config, layer));

  const embedder = weightInputs(config, [...CONDITION_WEIGHTS, 'x_embedder.weight']);
  const condition = conditions(embedder, gatherRows(featureTable(), timesteps), labels);
  const blend = cleanOr(timesteps);
  const rope = ropeOf(config, block);
  const present: Record<string, SymbolicTensor> = {};

  let blocks = linear(reshape(latents, ['samples', 1, blockSize, size]), embedder['x_embedder.weight']);
  for (let layer = 0; layer < layers; layer++) {
    const weights = layerSymbols(config, layer);
    const modulation = blend(adaptive(weights, condition, LAYER_MODULATIONS));
    blocks = transformerLayer(config, weights, blocks, modulation, rope, (query, key, value) => {
      const keys = concat([past[layer].key, key], 2);
      const values = concat([past[layer].value, value], 2);
      present[`present.${layer}.key`] = keys;
      present[`present.${layer}.value`] = values;
      return attention(query, keys, values);
    });
  }
  const final = weightInputs(
    config,
    ['norm_final.weight', 'linear.weight', 'linear.bias', ...ADAPTIVE].map((name) => `final_layer.${name}`),
  );
  const modulation = adaptive(final, condition, FINAL_MODULATIONS, 'final_layer.');
  const noise = reshape(finalLayer(final, blocks, modulation), ['samples', blockSize, size]);
  const inputs = [latents, timesteps, labels, block, ...past.flatMap(({ key, value }) => [key, value])];
  return weighted(inputs, { noise, ...present });
}

function pastInputs(config: AcditConfig, layer: number): { key: SymbolicTensor; value: SymbolicTensor } {
  const shape = ['samples', config.heads, 'cached', headSize(config)];
  return { key: input(`past.${layer}.key`, shape), value: input(`past.${layer}.value`, shape) };
}

/** Features of every timestep, and last, which is also index -1, of the one that has none. */
function featureTable(): SymbolicTensor {
  return constant(timestepFeatures(Array.from({ length: TIMESTEPS + 1 }, (_, i) => (i < TIMESTEPS ? i : 0))));
}

const ADAPTIVE = ['adaLN_modulation.1.weight', 'adaLN_modulation.1.bias'] as const;

/** Modulation vectors of a condition (N, C), as (N, 1, count, C). */
function adaptive(
  weights: LayerSymbols,
  condition: SymbolicTensor,
  count: number,
  prefix = '',
): SymbolicTensor {
  const [weight, bias] = ADAPTIVE.map((name) => weights[prefix + name]);
  const [samples, hidden] = condition.shape;
  return reshape(modulations(weight, bias, condition, count), [samples, 1, count, hidden]);
}

/** Puts shift 0, scale 0 and gate 1, a clean token's modulation, in the place of another where the timestep is -1. */
function cleanOr(timesteps: SymbolicTensor): (modulation: SymbolicTensor) => SymbolicTensor {
  const isNoised = constant(
    float32(
      [TIMESTEPS + 1, 1],
      Float32Array.from({ length: TIMESTEPS + 1 }, (_, i) => +(i < TIMESTEPS)),
    ),
  );
  const noised = reshape(gatherRows(isNoised, timesteps), ['samples', 1, 1, 1]);
  const share = multiply(cleanModulation(), shift(negate(noised), 1));
  return (modulation) => add(multiply(modulation, noised), share); // exact: the factors are 0 and 1
}

/** The rows of the position tables that belong to block number `block` (1). */
function ropeOf(config: AcditConfig, block: SymbolicTensor): RopeSymbols {
  const { cos, sin } = signedTables(ropeTables(config));
  const rows = ({ shape, data }: Tensor<'float32'>): SymbolicTensor => {
    const blockShape = [config.blockSize, shape[1]];
    const table = constant(float32([config.blocks, elementCount(blockShape)], data));
    return reshape(gatherRows(table, block), blockShape);
  };
  return { cos: rows(cos), sin: rows(sin) };
}

function layerSymbols(config: AcditConfig, layer: number): LayerSymbols {
  return Object.fromEntries(
    [...layerWeightShapes(config)].map(([name, shape]) => [name, input(`blocks.${layer}.${name}`, shape)]),
  );
}

/** A graph of some inputs; whatever else its outputs depend on are its weights. */
function weighted(
  inputs: readonly SymbolicTensor[],
  outputs: Readonly<Record<string, SymbolicTensor>>,
): WeightedGraph {
  const used = topologicalOrder(Object.values(outputs)).flatMap((node) => node.inputs);
  const weights = [...new Set(used)].filter(
    (symbol) => symbol.source.kind === 'input' && !inputs.includes(symbol),
  );
  return { inputs: [...inputs, ...weights], outputs, weights };
}
