/** @file What every solver is: timesteps, and a pure step from one noise level to the next. */

import type { Prediction } from '../prediction.ts';

/** A source of standard normal numbers, such as a `Generator`. */
export interface NormalSource {
  /** Returns `count` standard normal numbers. */
  randn(count: number): Float32Array;
}

/** What a solver carries from step to step. Never changed in place. */
export interface SolverState {
  /** The clean sample predicted one step ago, for multistep solvers; absent before the first step. */
  readonly previousClean?: Float32Array;
  /** The clean samples predicted so far, newest first, for solvers that weigh several of them. */
  readonly cleans?: readonly Float32Array[];
}

/** What a step gives: the sample, and what the next step must know. */
export interface SolverStep {
  /** The sample at the next timestep; after the last step the clean sample. */
  readonly x: Float32Array;
  readonly state: SolverState;
}

/**
 * Takes a sample from noise to clean in `timesteps.length` steps. It holds no state of its own: each block
 * (or anything else denoised) starts from its own `initialState()`, and many can share one solver.
 */
export interface Solver {
  readonly name: string;
  /** What `step` takes: the noise, the velocity from noise to sample, or the clean sample. */
  readonly predicts: Extract<Prediction, 'epsilon' | 'flow' | 'sample'>;
  /** Timestep the network is evaluated at, for each step; falling. */
  readonly timesteps: readonly number[];
  /** Whether `step` draws noise and so needs a generator. */
  readonly stochastic: boolean;
  /** What the first step is given: a solver with no history. */
  initialState(): SolverState;
  /**
   * One step, any shape.
   * @param index of the step, 0 first; `predicted` is what the solver `predicts` for `x` at `timesteps[index]`.
   * @throws {ArgumentError} if there is no such step, or no generator where one is needed.
   * @throws {ShapeError} if the lengths of `x` and `predicted` differ.
   */
  step(
    index: number,
    x: Float32Array,
    predicted: Float32Array,
    state: SolverState,
    generator?: NormalSource,
  ): SolverStep;
}

/** What differs from solver to solver; steps are numbered rightly, and of lengths that fit. */
export type Method = Pick<Solver, 'predicts' | 'timesteps' | 'stochastic' | 'step'>;
