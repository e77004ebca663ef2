/** @file What a gradient pass is: weights and a noised batch in, loss and gradients out; and what it is fed with. */

import { at } from '../at.ts';
import { ConfigError } from '../errors.ts';
import { cleanBlocks } from '../models/acdit/attention.ts';
import type { AcditConfig } from '../models/acdit/config.ts';
import { timestepFeatures } from '../models/acdit/transformer.ts';
import type { Weights } from '../models/acdit/weights.ts';
import { joinAxis, sliceAxis } from '../tensor/axes.ts';
import { float32, type Tensor, tensor } from '../tensor/tensor.ts';
import type { BatchSymbols } from './gradient-graphs.ts';

/** Noised blocks and what was added to them. All (N, T, B, C) but the timesteps (N, T) and labels (N). */
export interface NoisedBatch {
  readonly clean: Tensor<'float32'>;
  readonly noised: Tensor<'float32'>;
  /** What the network should predict: the noise, or what else the model predicts. */
  readonly target: Tensor<'float32'>;
  readonly timesteps: ArrayLike<number>;
  /** `classes` stands for a dropped label. */
  readonly labels: ArrayLike<number>;
  /** How much each block's loss counts (N, T); by default 1. */
  readonly lossWeights?: ArrayLike<number>;
}

/** What a pass returns in addition to the gradients. */
export interface GradientResult {
  readonly loss: number;
  /** Predicted noise (N, T, B, C), valid until the next run. */
  readonly prediction: Tensor<'float32'>;
}

/** Loss and gradients of a batch, compiled for its size. */
export interface GradientPass {
  readonly samples: number;
  /** Fills `gradients`, which has the names and shapes of `weights`. */
  run(
    weights: Weights,
    batch: NoisedBatch,
    gradients: Weights,
    signal?: AbortSignal,
  ): Promise<GradientResult>;
  /** Give back its programs' memory. */
  dispose(): Promise<void>;
}

/**
 * `save` keeps what every layer's backward pass needs; `recompute` computes a layer again before its backward pass. As an
 * object: which layers are computed again, by their numbers from 0, or how many, from the first one on.
 */
export type Activations = 'save' | 'recompute' | { readonly recompute: number | readonly number[] };

/**
 * Returns the layers that are computed again. The last one never is: its backward pass follows at once.
 * @throws {ConfigError} naming a layer that the model does not have
 */
export function recomputedLayers(
  activations: Activations,
  { layers }: Pick<AcditConfig, 'layers'>,
): ReadonlySet<number> {
  const given = typeof activations === 'object' ? activations.recompute : activations === 'save' ? 0 : layers;
  const chosen = typeof given === 'number' ? Array.from({ length: given }, (_, i) => i) : given;
  const unknown = chosen.find((layer) => layer >= layers);
  if (unknown === undefined) return new Set(chosen.filter((layer) => layer < layers - 1));
  throw new ConfigError(
    `training.activations: the model has no layer ${unknown}; its ${layers} layers are 0 to ${layers - 1}`,
  );
}

export type Named = Record<string, Tensor<'float32'>>;

/** A batch by the names of the graphs' inputs: see `BatchSymbols`. */
export function batchFeeds(config: AcditConfig, batch: NoisedBatch): Record<keyof BatchSymbols, Tensor> {
  const { blocks } = config;
  const { timesteps, labels, target, lossWeights } = batch;
  const repeated = BigInt64Array.from({ length: labels.length * blocks }, (_, i) =>
    BigInt(at(labels, Math.floor(i / blocks))),
  );
  const weights = lossWeights ?? new Float32Array(labels.length * blocks).fill(1);
  return {
    features: timestepFeatures(timesteps),
    labels: tensor('int64', [labels.length * blocks], repeated),
    // The clean blocks that are attended, then all noised ones, for each sample: (N, 2 T - 1, B, C).
    tokens: joinAxis([sliceAxis(batch.clean, 1, 0, cleanBlocks(config)), batch.noised], 1),
    target,
    lossWeights: float32([labels.length, blocks, 1, 1], Float32Array.from(weights)),
  };
}

/** Names gradients after what they are the gradients of. */
export function prefixed(tensors: Named): Named {
  return Object.fromEntries(Object.entries(tensors).map(([name, value]) => [`d.${name}`, value]));
}
