/** @file What every solver is: timesteps, and a pure step from one noise level to the next. */

import { at } from '../../at.ts';
import { ArgumentError, ShapeError } from '../../errors.ts';
import type { NoiseSchedule, VariancePreservingSchedule } from '../noise-schedule.ts';
import type { Prediction } from '../prediction.ts';

/** What draws standard normal numbers, such as a `Generator`. */
export interface NormalSource {
  /** So many standard normal numbers. */
  randn(count: number): Float32Array;
}

/** What a solver carries from step to step. Never changed in place. */
export interface SolverState {
  /** The clean sample predicted one step ago, for multistep solvers; absent before the first step. */
  readonly previousClean?: Float32Array;
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
  /** What `step` takes: the noise, or the velocity from noise to sample. */
  readonly predicts: Extract<Prediction, 'epsilon' | 'flow'>;
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

/** @throws {ArgumentError} if the number of steps is no integer from 1 to the schedule's timesteps. */
export function checkSteps(name: string, schedule: NoiseSchedule, steps: number): void {
  if (Number.isInteger(steps) && steps >= 1 && steps <= schedule.trainSteps) return;
  throw new ArgumentError(`${name}: steps must be an integer from 1 to ${schedule.trainSteps}, got ${steps}`);
}

/** The checks that every solver's step starts with. */
export function checkStep(
  { name, timesteps }: Pick<Solver, 'name' | 'timesteps'>,
  index: number,
  x: Float32Array,
  predicted: Float32Array,
): void {
  if (!(index in timesteps)) {
    throw new ArgumentError(
      `${name}: step must be an integer from 0 to ${timesteps.length - 1}, got ${index}`,
    );
  }
  if (x.length !== predicted.length) {
    throw new ShapeError(
      `${name}: the sample has ${x.length} values but the prediction has ${predicted.length}`,
    );
  }
}

/**
 * Timesteps at equal whole distances from 0 up, in falling order: diffusers' `leading` spacing, as DDPM and
 * DDIM use it. Where the steps do not divide the schedule it starts below the last timestep.
 */
export function leadingTimesteps(schedule: NoiseSchedule, steps: number): number[] {
  const stride = Math.floor(schedule.trainSteps / steps);
  return Array.from({ length: steps }, (_, i) => (steps - 1 - i) * stride);
}

/** Signal variance left at each of the `leadingTimesteps` and, last, at the clean end. */
export function leadingAlphas(schedule: VariancePreservingSchedule, timesteps: readonly number[]): number[] {
  return [...timesteps.map((timestep) => at(schedule.alphasCumprod, timestep)), 1];
}

/** Standard normal noise for a stochastic step. */
export function drawNoise(name: string, generator: NormalSource | undefined, count: number): Float32Array {
  if (!generator) throw new ArgumentError(`${name}: this solver draws noise; pass a Generator to step()`);
  return generator.randn(count);
}
