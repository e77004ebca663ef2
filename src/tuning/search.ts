/** @file Chooses the timesteps of a block's steps, and how its weights are fitted, by the error on samples not fitted to. */

import { at } from '../at.ts';
import type { MultistepPath } from '../diffusion/solvers/multistep.ts';
import { logSnrTimesteps } from '../diffusion/timesteps.ts';
import { errorEstimator } from './estimate.ts';
import {
  fitSteps,
  relativeErrors,
  type SharedSteps,
  type Trajectories,
  type WeightRule,
} from './fit-steps.ts';

/** Ways to fit weights that are tried once timesteps are chosen. */
const RULES: readonly WeightRule[] = [
  'second-order',
  ...[3, 4].flatMap((order) => [0.01, 0.1, 1].map((shrinkage) => ({ order, shrinkage }))),
];
/** How weights are fitted while timesteps are searched. */
const SEARCH_RULE: WeightRule = { order: 3, shrinkage: 0.1 };

/** What a search is about. */
export interface SearchOptions {
  readonly steps: number;
  /** Samples, the first ones, that weights are fitted to; the others choose. */
  readonly fitted: number;
  /** Passes of a step at a timestep. */
  readonly passes: (timestep: number) => number;
  /** Is called before each trial; there are at most {@link searchTrials}. */
  readonly onTrial?: ((trial: number) => void) | undefined;
}

/** The steps that were chosen. */
export interface FittedSteps {
  readonly path: MultistepPath;
  readonly places: readonly number[];
  readonly rule: WeightRule;
  /** Relative error of the samples that chose. */
  readonly error: number;
}

/**
 * Searches timesteps by moving one at a time: first by an estimate of the error, then by the error itself, from the better
 * of what was found and timesteps evenly spaced in log signal-to-noise. Then tries several ways to fit the weights. No
 * timestep moves further from its even place than the next one is, and there are never more passes than with even ones.
 */
export async function searchSteps(
  trajectories: Trajectories,
  { steps, fitted, passes, onTrial }: SearchOptions,
): Promise<FittedSteps> {
  const { grid } = trajectories;
  let trial = 0;
  const tryOut = async (places: readonly number[], rule: WeightRule, shared?: SharedSteps) => {
    onTrial?.(trial++);
    const rollout = await fitSteps(trajectories, places, rule, fitted, shared);
    return { rollout, rule, error: relativeErrors(trajectories, rollout.result, fitted) };
  };
  const passesOf = (places: readonly number[]): number =>
    places.reduce((sum, place) => sum + passes(at(grid, place)), 0);
  const even = evenPlaces(trajectories, steps);
  const most = passesOf(even);
  const reach = Math.ceil(grid.length / steps);
  const moved = (places: readonly number[], step: number, distance: number): number[] | undefined => {
    const next = places.with(step, at(places, step) + distance);
    const isNear = Math.abs(at(next, step) - at(even, step)) <= reach;
    return isNear && isPath(next, grid.length) && passesOf(next) <= most ? next : undefined;
  };
  let best = await tryOut(even, SEARCH_RULE);
  const estimated = estimatedPlaces(trajectories, fitted, even, moved);
  best = better(best, await tryOut(estimated, SEARCH_RULE));
  for (const distance of moveDistances(grid.length / steps)) {
    for (let step = 1; step < steps; step++) {
      for (const move of [-distance, distance]) {
        const places = moved(best.rollout.places, step, move);
        if (!places) continue;
        best = better(best, await tryOut(places, SEARCH_RULE, { rollout: best.rollout, steps: step - 1 }));
      }
    }
  }
  const { rollout } = best;
  for (const rule of RULES) best = better(best, await tryOut(rollout.places, rule, { rollout, steps: 0 }));
  return { path: best.rollout.path, places: best.rollout.places, rule: best.rule, error: best.error };
}

/** Returns the one with the smaller error. */
function better<T extends { readonly error: number }>(a: T, b: T): T {
  return b.error < a.error ? b : a;
}

/** Returns the places whose estimated error no single move makes smaller. */
function estimatedPlaces(
  trajectories: Trajectories,
  fitted: number,
  start: readonly number[],
  moved: (places: readonly number[], step: number, distance: number) => number[] | undefined,
): readonly number[] {
  const errorOf = errorEstimator(trajectories, fitted);
  let best = { places: start, error: errorOf(start) };
  for (let distance = Math.ceil(trajectories.grid.length / start.length / 2); distance >= 1; ) {
    const before = best;
    for (let step = 1; step < start.length; step++) {
      for (const move of [-distance, distance]) {
        const places = moved(best.places, step, move);
        if (places) best = better(best, { places, error: errorOf(places) });
      }
    }
    if (best === before) distance = Math.floor(distance / 2);
  }
  return best.places;
}

/** Returns how many trials a search makes at most, if the reference has this many steps. */
export function searchTrials(steps: number, referenceSteps: number): number {
  return 2 + moveDistances(referenceSteps / steps).length * 2 * (steps - 1) + RULES.length;
}

/** Returns how far timesteps are moved, of a mean distance between them. */
function moveDistances(spacing: number): number[] {
  return [Math.max(1, Math.round(spacing / 6))];
}

/** Returns the places of the grid whose timesteps are most evenly spaced in log signal-to-noise. */
export function evenPlaces(
  { grid, schedule }: Pick<Trajectories, 'grid' | 'schedule'>,
  steps: number,
): number[] {
  const places: number[] = [];
  for (const [i, timestep] of logSnrTimesteps(schedule, steps).entries()) {
    const below = grid.findIndex((known) => known <= timestep);
    const place = below < 0 ? grid.length : below;
    places.push(Math.max((places[i - 1] ?? -1) + 1, Math.min(place, grid.length - steps + i)));
  }
  return places;
}

function isPath(places: readonly number[], length: number): boolean {
  return places.every((place, i) => place > (places[i - 1] ?? -1) && place < length);
}
