/** @file The processes that train together, as the training loop sees them: one alone, or the ranks of a launcher. */

import type { Weights } from '../models/acdit/weights.ts';
import type { TrainingPoint } from './checkpoint.ts';
import type { GradientPass, NoisedBatch } from './gradient-pass.ts';
import type { Optimizer } from './optimizer.ts';
import type { Recipe } from './recipe.ts';

/** What a rank did in a step. */
export interface RankReport {
  readonly rank: number;
  readonly microBatches: number;
  /** Seconds of gradients, the batches included. */
  readonly computeSeconds: number;
  /** Seconds of waiting for other ranks and the network. */
  readonly waitSeconds: number;
  /** Bytes sent to other ranks since the step before was reported: its new weights count here. */
  readonly bytesSent: number;
}

/** What a step found. */
export interface StepResult {
  readonly loss: number;
  readonly gradientNorm: number;
  readonly learningRate: number;
  /** Norms of the gradient by group of weights, if they are logged after this step; on ranks, on the first one. */
  readonly gradientNorms?: Readonly<Record<string, number>>;
  /** What each rank did, if there are several. */
  readonly ranks?: readonly RankReport[];
}

/** What steps are made of. */
export interface StepperParts {
  readonly recipe: Recipe;
  readonly pass: GradientPass;
  readonly optimizer: Optimizer;
  /** The model's weights, for their names and shapes. */
  readonly weights: Weights;
  /** Returns the learning rate of the step after `step` ones (default: that of the recipe's schedule). */
  readonly learningRateAt?: ((step: number) => number) | undefined;
}

/** Takes steps. */
export interface Stepper {
  /** Takes the step after `point`, with the next micro-batches of `source`. */
  step(
    point: TrainingPoint,
    source: AsyncGenerator<NoisedBatch, void, void>,
    signal?: AbortSignal,
  ): Promise<StepResult>;
  /** Whether the state is the one after the last step; it is not if the optimizer failed while it changed it. */
  isWhole(): boolean;
}

/** The processes that train together. */
export interface Team {
  /** Runs work of the first process; the others help it, and wait. If it fails, it does for all. */
  lead(work: () => Promise<void>): Promise<void>;
  /** Returns the whole moving average, for the work of the first process. */
  average(point: TrainingPoint): Promise<Weights>;
  /** Makes what computes steps: alone, or this process's share of them. */
  createStepper(parts: StepperParts): Stepper;
}
