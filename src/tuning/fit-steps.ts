/**
 * @file Fits the steps of a block to trajectories of the exact solution: the weights by least squares, step by step on the
 * solver's own states, and the timesteps by coordinate search. Both only need predictions of the model.
 */

import { at, float32At } from '../at.ts';
import type { NoiseSchedule } from '../diffusion/noise-schedule.ts';
import {
  combineStep,
  levelsOf,
  type MultistepPath,
  secondOrderWeights,
  stepFactors,
} from '../diffusion/solvers/multistep.ts';
import { fitWeights, stepSums } from './least-squares.ts';

/** Trajectories of samples of one block. Values of all samples follow each other, sample by sample. */
export interface Trajectories {
  readonly schedule: NoiseSchedule;
  /** Falling timesteps at which the trajectories are known. */
  readonly grid: readonly number[];
  /** The samples at each timestep of the grid, and after them the clean samples. */
  readonly points: readonly Float32Array[];
  /** The clean samples predicted at each timestep of the grid. */
  readonly cleans: readonly Float32Array[];
  readonly samples: number;
  /** Predicts clean samples, with guidance and in the true context. */
  predict(x: Float32Array, timestep: number): Promise<Float32Array>;
}

/** How weights are fitted. `second-order` takes those of DPM-Solver++ 2M. */
export type WeightRule =
  | 'second-order'
  | {
      /** Max clean samples that a step weighs. */
      readonly order: number;
      /** See {@link fitWeights}; towards DPM-Solver++ 2M. */
      readonly shrinkage: number;
    };

/** A solver's steps, and the samples on its way. */
export interface Rollout {
  /** Places of its timesteps in the grid. */
  readonly places: readonly number[];
  readonly path: MultistepPath;
  /** Before each step: the samples, and the clean samples predicted of them. */
  readonly states: readonly { readonly x: Float32Array; readonly clean: Float32Array }[];
  /** The clean samples that it ends with. */
  readonly result: Float32Array;
}

/** The beginning of a rollout whose first `steps` timesteps another one shares. */
export interface SharedSteps {
  readonly rollout: Rollout;
  readonly steps: number;
}

/**
 * Takes the steps of some timesteps, and fits the weights of each to where the trajectory is after it.
 * @param fitted samples, the first ones, that weights are fitted to.
 */
export async function fitSteps(
  trajectories: Trajectories,
  places: readonly number[],
  rule: WeightRule,
  fitted: number,
  shared?: SharedSteps,
): Promise<Rollout> {
  const { grid, points, schedule } = trajectories;
  const timesteps = places.map((place) => at(grid, place));
  const prior = secondOrderWeights(schedule, timesteps);
  return takeSteps(trajectories, timesteps, shared, (i, { x, cleans, keep, pull }) => {
    const known = at(prior, i);
    if (rule === 'second-order') return known;
    const rows = (values: Float32Array): Float32Array =>
      values.subarray(0, (values.length / trajectories.samples) * fitted);
    const reached = rows(at(points, places[i + 1] ?? grid.length));
    const target = reached.map((value, k) => (value - keep * float32At(x, k)) / pull);
    const weighed = cleans.slice(0, rule.order).map(rows);
    return fitWeights(stepSums(target, weighed), known, rule.shrinkage);
  }).then((taken) => ({ places, ...taken }));
}

/** Takes the steps of a path from where the trajectories begin. @returns the clean samples. */
export async function followPath(trajectories: Trajectories, path: MultistepPath): Promise<Float32Array> {
  const taken = await takeSteps(trajectories, path.timesteps, undefined, (i) => at(path.weights, i));
  return taken.result;
}

/** What the weights of a step depend on. */
interface StepState {
  readonly x: Float32Array;
  /** Clean samples predicted so far, newest first. */
  readonly cleans: readonly Float32Array[];
  readonly keep: number;
  readonly pull: number;
}

async function takeSteps(
  { points, schedule, predict }: Trajectories,
  timesteps: readonly number[],
  shared: SharedSteps | undefined,
  weigh: (step: number, state: StepState) => readonly number[],
): Promise<Omit<Rollout, 'places'>> {
  const levels = levelsOf(schedule, timesteps);
  const from = shared?.steps ?? 0;
  // The state before step `from` is shared too: only what this step leads to is not.
  const states = shared ? shared.rollout.states.slice(0, from + 1) : [];
  const weights = shared ? shared.rollout.path.weights.slice(0, from) : [];
  let x = states[from]?.x ?? at(points, 0);
  for (let i = from; i < timesteps.length; i++) {
    if (!states[i]) states.push({ x, clean: await predict(x, at(timesteps, i)) });
    const { keep, pull } = stepFactors(at(levels, i), at(levels, i + 1));
    const cleans = states.map(({ clean }) => clean).reverse();
    const own = weigh(i, { x, cleans, keep, pull });
    weights.push(own);
    x = combineStep(x, cleans.slice(0, own.length), keep, pull, own);
  }
  return { path: { timesteps, weights }, states, result: x };
}

/**
 * Returns the error of a solver: the root mean square of its difference to the clean samples, relative to theirs.
 * @param first of the samples that count, and `last`, which no longer does.
 */
export function relativeErrors(
  { points, samples }: Pick<Trajectories, 'points' | 'samples'>,
  result: Float32Array,
  first = 0,
  last = samples,
): number {
  const clean = at(points, -1);
  const size = clean.length / samples;
  let [difference, all] = [0, 0];
  for (let i = first * size; i < last * size; i++) {
    const exact = float32At(clean, i);
    difference += (float32At(result, i) - exact) ** 2;
    all += exact ** 2;
  }
  return Math.sqrt(difference / all);
}
