/**
 * @file The graphs of a gradient pass: embed, layer by layer forward, loss, layer by layer backward. One layer's programs serve
 * every layer, run with that layer's weights, so memory holds one layer's intermediates and the pass can be cancelled
 * between layers. A layer is cut at its activation: GELU is elementwise, and in pieces that fit in the processor's cache the
 * dozen passes of its slope take half the time.
 */

import { at, take } from '../at.ts';
import { gradientsOf } from '../graph/gradient.ts';
import { type Graph, graphOf } from '../graph/onnx.ts';
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
import { cutAt, type DifferentiatedGraph, differentiate } from '../graph/partition.ts';
import { constant, input, inputName, remember, type SymbolicTensor } from '../graph/symbolic.ts';
import { attentionOf, cleanBlocks, sequencePredicate } from '../models/acdit/attention.ts';
import { compilePlan } from '../models/acdit/attention-plan.ts';
import { type AcditConfig, tokenSize } from '../models/acdit/config.ts';
import { type RopeTables, ropeTables, signedTables } from '../models/acdit/rope.ts';
import {
  cleanModulation,
  conditions,
  feedForwardInPieces,
  finalLayer,
  finalModulations,
  type LayerOptions,
  layerModulations,
  planAttention,
  type RopeSymbols,
  transformerLayer,
} from '../models/acdit/transformer.ts';
import {
  isWeight,
  type LayerSymbols,
  layerInputs,
  modelInputs,
  rowsOf,
  TIMESTEP_FEATURES,
} from '../models/acdit/weights.ts';

/** Graphs of one training step for batches of a fixed size. */
export type GradientGraphs = ReturnType<typeof gradientGraphs>;

/** A layer's forward and backward graph, both cut at its activation. */
export interface LayerGraphs {
  /** `hidden` and `condition` to `wide.N`, and to what the part after the activation needs besides, `carry.N`. */
  readonly before: ForwardAndBackward;
  /** `activated.N` and `carry.N` to `result`; backward it runs first, from `d.result` to `d.activated.N`. */
  readonly after: ForwardAndBackward;
}

/** Two graphs that run at different times. */
export type ForwardAndBackward = Pick<DifferentiatedGraph, 'forward' | 'backward'>;

/** Blocks of the training sequence: the clean ones, then all noised ones. */
export function sequenceBlocks(config: AcditConfig): number {
  return cleanBlocks(config) + config.blocks;
}

/** Builds the graphs for batches of `samples`. */
export function gradientGraphs(config: AcditConfig, samples: number) {
  const { features, labels, tokens } = batchInputs(config, samples);
  const { embedder } = modelInputs(config);
  return {
    /** `features` and `labels` to `condition`. */
    conditions: differentiateWeights({ condition: conditions(embedder, features, labels) }),
    /** `tokens` to `hidden`. */
    embed: differentiateWeights({ hidden: linear(tokens, embedder['x_embedder.weight']) }),
    layer: layerGraphs(config, samples, false),
    /** The last layer has queries of noised blocks only; clean ones serve as keys and values. */
    lastLayer: layerGraphs(config, samples, true),
    /** `wide` to `activated`, for any number of elements. */
    activation: differentiate(graphOf({ activated: gelu(input('wide', ['count'])) }), ['wide'], 'slope'),
    /** `hidden` and `condition` to loss, prediction and the first gradients at once. */
    loss: lossGraph(config, samples),
  };
}

/**
 * Wide neurons of the feed-forward network that are taken together. A product of more reads its left side from memory
 * again and again: the products of ACDiT-B's network take a tenth longer.
 */
const WIDE_PIECE = 768;

/** In how many pieces the feed-forward network is taken. Its sums, and so the last bits of gradients, depend on them. */
export function feedForwardPieces({ hidden, mlpRatio }: AcditConfig): number {
  return Math.ceil((mlpRatio * hidden) / WIDE_PIECE);
}

function differentiateWeights(outputs: Graph['outputs']): DifferentiatedGraph {
  const graph = graphOf(outputs);
  return differentiate(graph, graph.inputs.map(inputName).filter(isWeight));
}

function layerGraphs(config: AcditConfig, samples: number, last: boolean): LayerGraphs {
  const { blocks, blockSize, hidden: width } = config;
  const weights = layerInputs(config);
  const hidden = input('hidden', [samples, sequenceBlocks(config), blockSize, width]);
  const condition = input('condition', [samples * blocks, width]);
  const options = layerOptions(config, last);
  const queries = sequenceBlocks(config) - options.firstQuery;
  const wide: Record<string, SymbolicTensor> = {};
  const activated: SymbolicTensor[] = [];
  const activate = (x: SymbolicTensor): SymbolicTensor => {
    // As rows, they are the products' own results and inputs; a reshape would copy them.
    const rows = [samples * queries * blockSize, at(x.shape, -1)];
    const piece = activated.length;
    wide[`wide.${piece}`] = reshape(x, rows);
    activated.push(input(`activated.${piece}`, rows));
    return reshape(at(activated, piece), x.shape);
  };
  const result = transformerLayer(
    weights,
    hidden,
    sequenceModulations(config, weights, condition),
    sequenceRope(config),
    {
      ...options,
      feedForward: (weights, x) => feedForwardInPieces(weights, x, { activate, neurons: WIDE_PIECE }),
    },
  );
  const graph = graphOf({ ...wide, result });
  const { forward, backward } = differentiate(graph, graph.inputs.map(inputName));
  const [forwardBefore, forwardAfter] = take(cutAt(forward, [activated]), 2);
  const wideGradients = backward.inputs.filter((symbol) => inputName(symbol).startsWith('d.wide.'));
  const [backwardAfter, backwardBefore] = take(cutAt(backward, [wideGradients], 'd.carry'), 2);
  return {
    before: { forward: forwardBefore, backward: backwardBefore },
    after: { forward: forwardAfter, backward: backwardAfter },
  };
}

/** How a layer of the training sequence attends. Queries of clean blocks are left out of the last layer. */
export function layerOptions(
  config: AcditConfig,
  last: boolean,
): LayerOptions & { readonly firstQuery: number } {
  const clean = cleanBlocks(config);
  const firstQuery = last ? clean : 0;
  const predicate = sequencePredicate(attentionOf(config), clean);
  const plan = compilePlan(sequenceBlocks(config), config.blockSize, predicate, { firstQuery });
  const attend = planAttention(plan);
  return {
    // Many cheap passes lead from the projections to the rotated queries and keys.
    attend: (query, key, value, plainKey) => attend(remember(query), remember(key), value, plainKey),
    firstQuery,
  };
}

/** Modulations of the whole sequence, (N, T, 6, C): identity for clean blocks, adaLN for noised ones. */
export function sequenceModulations(
  config: AcditConfig,
  weights: LayerSymbols,
  condition: SymbolicTensor,
): SymbolicTensor {
  const noised = byBlock(config, layerModulations(weights, condition));
  const clean = cleanBlocks(config);
  if (clean === 0) return noised;
  const [samples, , ...vectors] = take(noised.shape, 2);
  return concat([expand(cleanModulation(), [samples, clean, ...vectors]), noised], 1);
}

/** Vectors of each condition (N T, count, C) as those of each noised block (N, T, count, C). */
export function byBlock({ blocks }: AcditConfig, vectors: SymbolicTensor): SymbolicTensor {
  const [conditions, ...inner] = vectors.shape;
  return reshape(vectors, [Number(conditions) / blocks, blocks, ...inner]);
}

/** Tables for the clean blocks, then the noised ones: both copies of a block have the same positions. */
export function sequenceRope(config: AcditConfig): RopeSymbols {
  const tables = signedTables(ropeTables(config));
  const clean = cleanBlocks(config) * config.blockSize;
  const doubled = (table: RopeTables['cos']): SymbolicTensor =>
    clean > 0 ? concat([constant(rowsOf(table, 0, clean)), constant(table)], 0) : constant(table);
  return { cos: doubled(tables.cos), sin: doubled(tables.sin) };
}

function lossGraph(config: AcditConfig, samples: number): Graph {
  const { blocks, blockSize } = config;
  const weights = modelInputs(config).final;
  const hidden = input('hidden', [samples, blocks, blockSize, config.hidden]);
  const condition = input('condition', [samples * blocks, config.hidden]);
  const modulation = byBlock(config, finalModulations(weights, condition));
  const prediction = finalLayer(weights, hidden, modulation);
  const loss = predictionLoss(prediction, batchInputs(config, samples));
  return graphOf({
    loss,
    prediction,
    ...namedGradients(loss, [hidden, condition, ...Object.values(weights)]),
  });
}

/** What a batch is to the graphs. */
export type BatchSymbols = ReturnType<typeof batchInputs>;

export function batchInputs(config: AcditConfig, samples: number) {
  const { blocks, blockSize } = config;
  return {
    /** Features of each noised block's timestep (N T, 256). */
    features: input('features', [samples * blocks, TIMESTEP_FEATURES]),
    /** Class of each noised block (N T). */
    labels: input('labels', [samples * blocks], 'int64'),
    /** Tokens of the whole sequence (N, 2 T - 1, B, token size), or (N, T, B, token size) without clean copies. */
    tokens: input('tokens', [samples, sequenceBlocks(config), blockSize, tokenSize(config)]),
    /** What is to be predicted (N, T, B, token size). */
    target: input('target', [samples, blocks, blockSize, tokenSize(config)]),
    /** How much each block counts (N, T, 1, 1). */
    lossWeights: input('lossWeights', [samples, blocks, 1, 1]),
  };
}

/** Mean squared error of the prediction (N, T, B, token size), each block's times its weight. */
export function predictionLoss(
  prediction: SymbolicTensor,
  { target, lossWeights }: Pick<BatchSymbols, 'target' | 'lossWeights'>,
): SymbolicTensor {
  return reduceMean(multiply(square(subtract(prediction, target)), lossWeights), [0, 1, 2, 3]);
}

/** Gradients of the loss with respect to inputs, as `d.<name>`. */
export function namedGradients(
  loss: SymbolicTensor,
  inputs: readonly SymbolicTensor[],
): Record<string, SymbolicTensor> {
  const gradients = gradientsOf(loss, inputs);
  return Object.fromEntries(inputs.map((symbol, i) => [`d.${inputName(symbol)}`, at(gradients, i)]));
}
