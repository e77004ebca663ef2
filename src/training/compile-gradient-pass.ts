/**
 * @file Compiles a gradient pass: layer by layer or, for devices with a memory of their own, as one program. Weights and a
 * batch cross over to such a device, gradients come back, and what layers leave for their backward passes stays there. Run
 * layer by layer, all of that would cross twice.
 */

import { get } from '../at.ts';
import { type Graph, graphOf } from '../graph/onnx.ts';
import { reduceMean, square, subtract } from '../graph/operators/index.ts';
import type { AcditConfig } from '../models/acdit/config.ts';
import { conditions, finalModulations, predictNoise } from '../models/acdit/transformer.ts';
import { isWeight, modelInputs, type Weights, weightViews } from '../models/acdit/weights.ts';
import { filterKeys } from '../records.ts';
import type { Device } from '../runtime/device.ts';
import { createSemaphore } from '../semaphore.ts';
import type { Tensor } from '../tensor/tensor.ts';
import {
  batchInputs,
  byBlock,
  layerOptions,
  namedGradients,
  predictionLoss,
  sequenceModulations,
  sequenceRope,
} from './gradient-graphs.ts';
import {
  type Activations,
  batchFeeds,
  type GradientPass,
  type NoisedBatch,
  prefixed,
  recomputedLayers,
} from './gradient-pass.ts';
import { compileLayeredPass } from './layered-pass.ts';

/**
 * Compiles the pass for batches of `samples`: one program where the device has a memory of its own and may keep
 * activations, else layer by layer. Runs share buffers, so they take turns.
 */
export async function compileGradientPass(
  device: Device,
  config: AcditConfig,
  samples: number,
  activations: Activations = 'save',
): Promise<GradientPass> {
  const pass = await (device.separateMemory && recomputedLayers(activations, config).size === 0
    ? compileWholePass(device, config, samples)
    : compileLayeredPass(device, config, samples, activations));
  const exclusively = createSemaphore(1);
  return {
    samples,
    run: (...args) => exclusively(() => pass.run(...args)),
    dispose: () => pass.dispose(),
  };
}

/** Compiles the pass as one program for batches of `samples`. */
export async function compileWholePass(
  device: Device,
  config: AcditConfig,
  samples: number,
): Promise<GradientPass> {
  const program = await device.compile(trainingGraph(config, samples));
  const names = program.inputNames.filter(isWeight);
  return {
    samples,
    async run(weights, batch, gradients, signal) {
      signal?.throwIfAborted();
      const results = await program.run(
        { ...batchFeeds(config, batch), ...weightViews(weights, names) },
        prefixed(weightViews(gradients, names)),
      );
      return {
        loss: Number(get(results, 'loss').data[0]),
        prediction: get(results, 'prediction') as Tensor<'float32'>,
      };
    },
    dispose: () => program.dispose(),
  };
}

/** A step's loss, prediction and gradients, from its first product to its last. */
function trainingGraph(config: AcditConfig, samples: number): Graph {
  const { weights, batch, prediction } = predictionSymbols(config, samples);
  const loss = predictionLoss(prediction, batch);
  const all = [weights.embedder, ...weights.layers, weights.final].flatMap((group) => Object.values(group));
  return graphOf({ loss, prediction, ...namedGradients(loss, all) });
}

/** The prediction (N, T, B, token size) of the training sequence in one graph, with its inputs. */
function predictionSymbols(config: AcditConfig, samples: number) {
  const weights = modelInputs(config);
  const batch = batchInputs(config, samples);
  const condition = conditions(weights.embedder, batch.features, batch.labels);
  const modulations = {
    layers: weights.layers.map((layer) => sequenceModulations(config, layer, condition)),
    final: byBlock(config, finalModulations(weights.final, condition)),
  };
  const prediction = predictNoise(weights, batch.tokens, modulations, sequenceRope(config), (layer) =>
    layerOptions(config, layer === config.layers - 1),
  );
  return { weights, batch, prediction };
}

/** Errors of the prediction for batches of one size, without gradients. */
export interface ErrorPass {
  readonly samples: number;
  /** Returns the mean squared error of each block's prediction (N, T). */
  run(weights: Weights, batch: NoisedBatch): Promise<Float32Array>;
  /** Give back its program's memory. */
  dispose(): Promise<void>;
}

/** Compiles the errors of batches of `samples` as one program. */
export async function compileErrorPass(
  device: Device,
  config: AcditConfig,
  samples: number,
): Promise<ErrorPass> {
  const { batch, prediction } = predictionSymbols(config, samples);
  const errors = reduceMean(square(subtract(prediction, batch.target)), [2, 3]);
  const program = await device.compile(graphOf({ errors }));
  const { inputNames } = program;
  return {
    samples,
    async run(weights, batch) {
      const feeds = filterKeys(batchFeeds(config, batch), (name) => inputNames.includes(name));
      const results = await program.run({ ...feeds, ...weightViews(weights, inputNames.filter(isWeight)) });
      return get(results, 'errors').data as Float32Array;
    },
    dispose: () => program.dispose(),
  };
}
