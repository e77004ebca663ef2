/** @file What a gradient pass is: weights and a noised batch in, loss and gradients out. */

import type { Weights } from '../models/acdit/weights.ts';
import type { Tensor } from '../tensor/tensor.ts';

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

/** What a pass tells besides the gradients. */
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

/** `save` keeps what every layer's backward pass needs; `recompute` computes a layer again before its backward pass. */
export type Activations = 'save' | 'recompute';
