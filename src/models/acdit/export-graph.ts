/**
 * @file The model as one graph of all layers, for other runtimes than ours: one denoising step of one block, or a
 * finished block's keys and values. Its weights are inputs under the official names, but for the stacked `attn.qkv`,
 * of which there are the views `attn.query`, `attn.key` and `attn.value`.
 */

import { at, take } from '../../at.ts';
import { TRAIN_STEPS } from '../../diffusion/noise-schedule.ts';
import { type Graph, graphOf } from '../../graph/onnx.ts';
import {
  add,
  attention,
  concat,
  gatherRows,
  multiply,
  negate,
  reshape,
  shift,
} from '../../graph/operators/index.ts';
import { constant, input, type SymbolicTensor } from '../../graph/symbolic.ts';
import { elementCount, float32, type Tensor } from '../../tensor/tensor.ts';
import { type AcditConfig, headSize, passConfig, tokenSize } from './config.ts';
import { ropeTables, signedTables } from './rope.ts';
import {
  cleanModulation,
  conditions,
  feedForwardInPieces,
  finalModulations,
  layerModulations,
  predictNoise,
  type RopeSymbols,
  timestepFeatures,
} from './transformer.ts';
import { modelInputs } from './weights.ts';

/**
 * One pass over one block of N samples.
 *
 * Inputs: `latents` (N, B, token size), the block's tokens; `timesteps` (N) int64, 0 to 999, or -1 for a finished block;
 * `labels` (N) int64, -1 for no class; `block` (1) int64, the block's number; and of each layer `past.I.key` and
 * `past.I.value` (N, H, cached, D), keys and values of the finished blocks before it.
 *
 * Outputs: `noise` (N, B, token size), the noise predicted in the block; and of each layer `present.I.key` and
 * `present.I.value` (N, H, cached + B, D), the past with this block's appended. After the pass of a finished block they
 * are the next block's past.
 *
 * A block gets the past of those blocks that it attends. Without clean copies (attention `block-causal`, or a table of
 * `noised` alone), the pass of a finished block has timestep 0 and its label, so each guidance branch has its own past. With
 * attention `full`, `latents` are the tokens of all blocks, `block` is 0 and the past is empty.
 *
 * The weights are the last inputs.
 */
export function exportGraph(config: AcditConfig): Graph {
  const { blockSize, layers } = passConfig(config);
  const size = tokenSize(config);
  const latents = input('latents', ['samples', blockSize, size]);
  const timesteps = input('timesteps', ['samples'], 'int64');
  const labels = input('labels', ['samples'], 'int64');
  const block = input('block', [1], 'int64');
  const cached = ['samples', config.heads, 'cached', headSize(config)];
  const past = Array.from({ length: layers }, (_, layer) => ({
    key: input(`past.${layer}.key`, cached),
    value: input(`past.${layer}.value`, cached),
  }));

  const weights = modelInputs(config);
  const condition = conditions(weights.embedder, gatherRows(featureTable(), timesteps), labels);
  const blend = cleanOr(timesteps);
  const present: Record<string, SymbolicTensor> = {};
  const predicted = predictNoise(
    weights,
    reshape(latents, ['samples', 1, blockSize, size]),
    {
      layers: weights.layers.map((layer) => blend(perSample(layerModulations(layer, condition)))),
      final: perSample(finalModulations(weights.final, condition)),
    },
    ropeOf(config, block),
    (layer) => ({
      attend(query, key, value) {
        const keys = concat([at(past, layer).key, key], 2);
        const values = concat([at(past, layer).value, value], 2);
        present[`present.${layer}.key`] = keys;
        present[`present.${layer}.value`] = values;
        return attention(query, keys, values);
      },
      feedForward: feedForwardInPieces,
    }),
  );
  const noise = reshape(predicted, ['samples', blockSize, size]);
  const graph = graphOf({ noise, ...present });
  const inputs = [latents, timesteps, labels, block, ...past.flatMap(({ key, value }) => [key, value])];
  return { ...graph, inputs: [...new Set([...inputs, ...graph.inputs])] };
}

/** Features of every timestep, and last, which is also index -1, of the one that has none. */
function featureTable(): SymbolicTensor {
  return constant(
    timestepFeatures(Array.from({ length: TRAIN_STEPS + 1 }, (_, i) => (i < TRAIN_STEPS ? i : 0))),
  );
}

/** Modulation vectors (N, count, C) of one block, as (N, 1, count, C). */
function perSample(vectors: SymbolicTensor): SymbolicTensor {
  const [samples, count, hidden] = take(vectors.shape, 3);
  return reshape(vectors, [samples, 1, count, hidden]);
}

/** Puts shift 0, scale 0 and gate 1, a clean token's modulation, in the place of another where the timestep is -1. */
function cleanOr(timesteps: SymbolicTensor): (modulation: SymbolicTensor) => SymbolicTensor {
  const flags = Float32Array.from({ length: TRAIN_STEPS + 1 }, (_, i) => +(i < TRAIN_STEPS));
  const isNoised = constant(float32([flags.length, 1], flags));
  const noised = reshape(gatherRows(isNoised, timesteps), ['samples', 1, 1, 1]);
  const share = multiply(cleanModulation(), shift(negate(noised), 1));
  return (modulation) => add(multiply(modulation, noised), share); // exact: the factors are 0 and 1
}

/** The rows of the position tables that belong to block number `block` (1). */
function ropeOf(config: AcditConfig, block: SymbolicTensor): RopeSymbols {
  const { blocks, blockSize } = passConfig(config);
  const { cos, sin } = signedTables(ropeTables(config));
  const rows = ({ shape, data }: Tensor<'float32'>): SymbolicTensor => {
    const blockShape = [blockSize, at(shape, 1)];
    const table = constant(float32([blocks, elementCount(blockShape)], data));
    return reshape(gatherRows(table, block), blockShape);
  };
  return { cos: rows(cos), sin: rows(sin) };
}
