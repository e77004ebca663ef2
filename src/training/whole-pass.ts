/**
 * @file The gradient pass as one program, for devices with a memory of their own: weights and a batch cross over to it,
 * gradients come back, and what layers leave for their backward passes stays there. Run layer by layer, all of that
 * would cross twice.
 */

import type { Graph } from '../graph/onnx.ts';
import { linear } from '../graph/operators/index.ts';
import { input, type SymbolicTensor } from '../graph/symbolic.ts';
import { compilePlan, skipCausal } from '../models/acdit/attention-plan.ts';
import { type AcditConfig, tokenSize } from '../models/acdit/config.ts';
import {
  conditions,
  type LayerSymbols,
  numberedLayerInputs,
  planAttention,
  type RopeSymbols,
  undividedLayer,
  weightInputs,
} from '../models/acdit/transformer.ts';
import {
  allLayerWeights,
  CONDITION_WEIGHTS,
  TIMESTEP_FEATURES,
  type Weights,
} from '../models/acdit/weights.ts';
import type { Device } from '../runtime/device.ts';
import type { Tensor } from '../tensor/tensor.ts';
import {
  cleanBlocks,
  FINAL_WEIGHTS,
  namedGradients,
  predictionLoss,
  sequenceRope,
  streamModulations,
  targetInputs,
} from './gradient-graphs.ts';
import type { GradientPass } from './gradient-pass.ts';
import { batchFeeds, lossFeeds, type Named, named, prefixed } from './pass-feeds.ts';

const OUTER_WEIGHTS = [...CONDITION_WEIGHTS, 'x_embedder.weight', ...FINAL_WEIGHTS] as const;

/** Compile the pass as one program for batches of `samples`. */
export async function compileWholePass(
  device: Device,
  config: AcditConfig,
  samples: number,
): Promise<GradientPass> {
  const program = await device.compile(wholeGraph(config, samples));
  return {
    samples,
    async run(weights, batch, gradients, signal) {
      signal?.throwIfAborted();
      const results = await program.run(
        { ...batchFeeds(config, batch), ...lossFeeds(config, batch), ...viewsOf(config, weights) },
        prefixed(viewsOf(config, gradients)),
      );
      return { loss: Number(results.loss.data[0]), prediction: results.prediction as Tensor<'float32'> };
    },
    dispose: () => program.dispose(),
  };
}

/** A step's loss, prediction and gradients, from its first product to its last. */
export function wholeGraph(config: AcditConfig, samples: number): Graph {
  const { layers, blocks, blockSize } = config;
  const clean = cleanBlocks(config);
  const features = input('features', [samples * blocks, TIMESTEP_FEATURES]);
  const labels = input('labels', [samples * blocks], 'int64');
  const tokens = input('tokens', [samples, clean + blocks, blockSize, tokenSize(config)]);
  const targets = targetInputs(config, samples);
  const outer = weightInputs(config, OUTER_WEIGHTS);
  const ofLayers = Array.from({ length: layers }, (_, layer) => numberedLayerInputs(config, layer));

  const condition = conditions(outer, features, labels);
  const rope = sequenceRope(config);
  const stream = ofLayers.reduce(
    (x, weights, layer) => {
      // The last layer asks for noised blocks only.
      const firstQuery = layer === layers - 1 ? clean : 0;
      return runLayer(config, weights, x, condition, rope, firstQuery);
    },
    linear(tokens, outer['x_embedder.weight']),
  );
  const { loss, prediction } = predictionLoss(config, outer, stream, condition, targets);

  const weights = { ...outer, ...inputsByName(ofLayers.flatMap((layer) => Object.values(layer))) };
  return {
    inputs: [features, labels, tokens, ...Object.values(targets), ...Object.values(weights)],
    outputs: { loss, prediction, ...namedGradients(loss, weights) },
  };
}

function inputsByName(symbols: readonly SymbolicTensor[]): LayerSymbols {
  return Object.fromEntries(
    symbols.flatMap((symbol) => (symbol.source.kind === 'input' ? [[symbol.source.name, symbol]] : [])),
  );
}

function runLayer(
  config: AcditConfig,
  weights: LayerSymbols,
  blocks: SymbolicTensor,
  condition: SymbolicTensor,
  rope: RopeSymbols,
  firstQuery: number,
): SymbolicTensor {
  const [samples, groups] = blocks.shape.map(Number);
  const plan = compilePlan(groups, config.blockSize, skipCausal(cleanBlocks(config)), { firstQuery });
  const modulation = streamModulations(config, weights, condition, samples);
  return undividedLayer(config, weights, blocks, modulation, rope, planAttention(plan), firstQuery);
}

/** Weights, or their gradients, by the names of the program's inputs, sharing memory. */
function viewsOf(config: AcditConfig, weights: Weights): Named {
  return { ...named(weights, OUTER_WEIGHTS), ...allLayerWeights(config, weights) };
}
