/**
 * @file The loss of one batch and its gradient: embed, layer by layer forward, loss, layer by layer back.
 * The same programs serve every layer, run with that layer's weights, so that memory holds one layer's
 * intermediates and the pass can be cancelled between layers. A layer is three stages, cut around its activation: GELU
 * is elementwise, and in pieces that fit the processor's cache the dozen passes of its slope take half the time.
 */

import { gradientsOf } from '../graph/gradient.ts';
import type { Graph } from '../graph/onnx.ts';
import {
  concat,
  expand,
  gelu,
  linear,
  multiply,
  reduceMean,
  reshape,
  square,
  subtract,
} from '../graph/operators/index.ts';
import { type DifferentiableStage, differentiate } from '../graph/partition.ts';
import { productDim } from '../graph/shapes.ts';
import { constant, input, remember, type SymbolicTensor } from '../graph/symbolic.ts';
import { compilePlan, skipCausal } from '../models/acdit/attention-plan.ts';
import { type AcditConfig, tokenSize } from '../models/acdit/config.ts';
import { type RopeTables, ropeTables, signedTables } from '../models/acdit/rope.ts';
import {
  attentionInputs,
  cleanModulation,
  conditions,
  finalLayer,
  type LayerSymbols,
  layerInputs,
  modulations,
  narrow,
  planAttention,
  type RopeSymbols,
  weightInputs,
  widen,
} from '../models/acdit/transformer.ts';
import { CONDITION_WEIGHTS, LAYER_MODULATIONS, rowsOf, TIMESTEP_FEATURES } from '../models/acdit/weights.ts';

/** Graphs of one training step for batches of a fixed size. */
export interface GradientGraphs {
  readonly conditions: DifferentiableStage;
  readonly embed: DifferentiableStage;
  readonly layer: LayerStages;
  /** The last layer asks for noised blocks only; clean ones serve as keys and values. */
  readonly lastLayer: LayerStages;
  /** `wide` to `activated`, for any number of elements. */
  readonly activation: DifferentiableStage;
  /** Loss, prediction and the first gradients at once. */
  readonly loss: Graph;
}

/** A layer before and after its activation. */
export interface LayerStages {
  /** `blocks` and `condition` to `middle`, `wide` and `gate`. */
  readonly widen: DifferentiableStage;
  /** `middle`, `activated` and `gate` to `result`. The gradient of `middle` is that of `result`, so it is not given. */
  readonly narrow: DifferentiableStage;
}

export const FINAL_WEIGHTS = [
  'final_layer.norm_final.weight',
  'final_layer.linear.weight',
  'final_layer.linear.bias',
  'final_layer.adaLN_modulation.1.weight',
  'final_layer.adaLN_modulation.1.bias',
] as const;

/**
 * Clean blocks in the training sequence. Only the last noised block could have attended the last clean one
 * if it came later, so that one is left out: same loss, same gradients, a block less.
 */
export function cleanBlocks(config: AcditConfig): number {
  return config.blocks - 1;
}

/** Build the graphs for batches of `samples`. */
export function gradientGraphs(config: AcditConfig, samples: number): GradientGraphs {
  return {
    conditions: conditionStage(config, samples),
    embed: embedStage(config, samples),
    layer: layerStages(config, samples, false),
    lastLayer: layerStages(config, samples, true),
    activation: activationStage(),
    loss: lossGraph(config, samples),
  };
}

function conditionStage(config: AcditConfig, samples: number): DifferentiableStage {
  const weights = weightInputs(config, CONDITION_WEIGHTS);
  const rows = samples * config.blocks;
  const features = input('features', [rows, TIMESTEP_FEATURES]);
  const labels = input('labels', [rows], 'int64');
  const stage = {
    inputs: [features, labels, ...Object.values(weights)],
    outputs: { result: conditions(weights, features, labels) },
  };
  return differentiate(stage, CONDITION_WEIGHTS);
}

/** Tokens of clean and noised blocks (N, G, B, token size) to hidden vectors (N, G, B, C). */
function embedStage(config: AcditConfig, samples: number): DifferentiableStage {
  const groups = cleanBlocks(config) + config.blocks;
  const tokens = input('tokens', [samples, groups, config.blockSize, tokenSize(config)]);
  const weight = input('x_embedder.weight', [config.hidden, tokenSize(config)]);
  const stage = { inputs: [tokens, weight], outputs: { result: linear(tokens, weight) } };
  return differentiate(stage, ['x_embedder.weight']);
}

const isNarrowing = (name: string): boolean => name.startsWith('mlp.fc2.');

function layerStages(config: AcditConfig, samples: number, last: boolean): LayerStages {
  const firstQuery = last ? cleanBlocks(config) : 0;
  return {
    widen: widenStage(config, samples, firstQuery),
    narrow: narrowStage(config, [samples, cleanBlocks(config) + config.blocks - firstQuery]),
  };
}

function widenStage(config: AcditConfig, samples: number, firstQuery: number): DifferentiableStage {
  const clean = cleanBlocks(config);
  const groups = clean + config.blocks;
  const plan = compilePlan(groups, config.blockSize, skipCausal(clean), { firstQuery });
  const weights = layerInputs(config, (name) => !isNarrowing(name));
  const blocks = input('blocks', [samples, groups, config.blockSize, config.hidden]);
  const condition = input('condition', [samples * config.blocks, config.hidden]);
  const modulation = streamModulations(config, weights, condition, samples);
  const { query, key, value } = attentionInputs(
    config,
    weights,
    blocks,
    modulation,
    sequenceRope(config),
    firstQuery,
  );
  // Many cheap passes lead from the projections to the rotated queries and keys.
  const attended = planAttention(plan)(remember(query), remember(key), value);
  const { middle, wide, gate } = widen(config, weights, blocks, modulation, attended, firstQuery);
  return differentiate(
    {
      inputs: [blocks, condition, ...Object.values(weights)],
      // As rows, it is the product's own result, which is written where it belongs; a reshape would copy it there.
      outputs: {
        middle,
        wide: reshape(wide, [productDim(wide.shape.slice(0, -1)), ...wide.shape.slice(-1)]),
        gate,
      },
    },
    ['blocks', 'condition', ...Object.keys(weights)],
  );
}

function narrowStage(config: AcditConfig, [samples, groups]: readonly [number, number]): DifferentiableStage {
  const { blockSize, hidden, mlpRatio } = config;
  const weights = layerInputs(config, isNarrowing);
  const middle = input('middle', [samples, groups, blockSize, hidden]);
  const activated = input('activated', [samples * groups * blockSize, mlpRatio * hidden]);
  const gate = input('gate', [samples, groups, 1, hidden]);
  const result = narrow(weights, middle, activated, gate);
  return differentiate(
    { inputs: [middle, activated, gate, ...Object.values(weights)], outputs: { result } },
    ['activated', 'gate', ...Object.keys(weights)],
  );
}

function activationStage(): DifferentiableStage {
  const wide = input('wide', ['count']);
  return differentiate({ inputs: [wide], outputs: { activated: gelu(wide) } }, ['wide']);
}

/** Modulations of the whole sequence, (N, G, 6, C): identity for clean blocks, adaLN for noised ones. */
export function streamModulations(
  config: AcditConfig,
  weights: LayerSymbols,
  condition: SymbolicTensor,
  samples: number,
): SymbolicTensor {
  const { blocks, hidden } = config;
  const noised = modulations(
    weights['adaLN_modulation.1.weight'],
    weights['adaLN_modulation.1.bias'],
    condition,
    LAYER_MODULATIONS,
  );
  const shaped = reshape(noised, [samples, blocks, LAYER_MODULATIONS, hidden]);
  const clean = cleanBlocks(config);
  if (clean === 0) return shaped;
  return concat([expand(cleanModulation(), [samples, clean, LAYER_MODULATIONS, hidden]), shaped], 1);
}

/** Tables for the clean blocks, then the noised ones: both copies of a block have the same positions. */
export function sequenceRope(config: AcditConfig): RopeSymbols {
  const tables = signedTables(ropeTables(config));
  const clean = cleanBlocks(config) * config.blockSize;
  const doubled = (table: RopeTables['cos']): SymbolicTensor => {
    const both =
      clean > 0 ? concat([constant(rowsOf(table, 0, clean)), constant(table)], 0) : constant(table);
    return both;
  };
  return { cos: doubled(tables.cos), sin: doubled(tables.sin) };
}

/** The loss, the prediction, and the first gradients. */
function lossGraph(config: AcditConfig, samples: number): Graph {
  const { blocks, blockSize, hidden } = config;
  const weights = weightInputs(config, FINAL_WEIGHTS);
  const stream = input('blocks', [samples, blocks, blockSize, hidden]);
  const condition = input('condition', [samples * blocks, hidden]);
  const targets = targetInputs(config, samples);
  const { loss, prediction } = predictionLoss(config, weights, stream, condition, targets);
  const wanted = { blocks: stream, condition, ...weights };
  return {
    inputs: [stream, condition, ...Object.values(targets), ...Object.values(weights)],
    outputs: { loss, prediction, ...namedGradients(loss, wanted) },
  };
}

/** What the prediction is compared with. */
export interface Targets {
  /** (N, T, B, token size) */
  readonly noise: SymbolicTensor;
  /** How much each block counts (N, T, 1, 1). */
  readonly lossWeights: SymbolicTensor;
}

export function targetInputs(config: AcditConfig, samples: number): Targets & LayerSymbols {
  const { blocks, blockSize } = config;
  return {
    noise: input('noise', [samples, blocks, blockSize, tokenSize(config)]),
    lossWeights: input('lossWeights', [samples, blocks, 1, 1]),
  };
}

/** Mean squared error of the noise that is predicted from the last layer's noised blocks, each block's times its weight. */
export function predictionLoss(
  config: AcditConfig,
  weights: LayerSymbols,
  stream: SymbolicTensor,
  condition: SymbolicTensor,
  { noise, lossWeights }: Targets,
): Record<'loss' | 'prediction', SymbolicTensor> {
  const [samples] = stream.shape;
  const modulation = modulations(
    weights['final_layer.adaLN_modulation.1.weight'],
    weights['final_layer.adaLN_modulation.1.bias'],
    condition,
    2,
  );
  const shaped = reshape(modulation, [samples, config.blocks, 2, config.hidden]);
  const prediction = finalLayer(weights, stream, shaped);
  const loss = reduceMean(multiply(square(subtract(prediction, noise)), lossWeights), [0, 1, 2, 3]);
  return { loss, prediction };
}

/** Gradients of the loss as `d.<name>`. */
export function namedGradients(loss: SymbolicTensor, wanted: LayerSymbols): Record<string, SymbolicTensor> {
  const gradients = gradientsOf(loss, Object.values(wanted));
  return Object.fromEntries(Object.keys(wanted).map((name, i) => [`d.${name}`, gradients[i]]));
}
