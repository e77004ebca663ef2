/**
 * @file Estimates the error of a solver without predictions of the model: each step is fitted and measured on the reference
 * trajectory alone. It is only good enough to choose timesteps that are then tried.
 */

import { at, float32At } from '../at.ts';
import { levelsOf, secondOrderWeights, stepFactors } from '../diffusion/solvers/multistep.ts';
import type { Trajectories } from './fit-steps.ts';
import { fitWeights, stepSums } from './least-squares.ts';

const ORDER = 3;
const SHRINKAGE = 0.1;

/**
 * Makes a function that estimates the squared error of timesteps, by their places in the grid. An error in x is taken to
 * reach the clean sample as it does for normally distributed samples of variance v: times sqrt(v / (a^2 v + s^2)).
 * @param fitted samples, the first ones, that weights are fitted to; the others measure.
 */
export function errorEstimator(
  trajectories: Trajectories,
  fitted: number,
): (places: readonly number[]) => number {
  const { schedule, grid, points, cleans, samples } = trajectories;
  const clean = at(points, -1);
  const cut = (clean.length / samples) * fitted;
  const variance = clean.reduce((sum, value) => sum + value ** 2, 0) / clean.length;
  const levels = levelsOf(schedule, grid);
  const known = new Map<string, number>();

  /** Squared error after the last step of `places`, of which it depends on the last three, to the place `to`. */
  function stepError(places: readonly number[], to: number, prior: readonly number[]): number {
    const place = at(places, -1);
    const { keep, pull } = stepFactors(at(levels, place), at(levels, to));
    const used = places
      .slice(-ORDER)
      .reverse()
      .map((own) => at(cleans, own));
    const [x, reached] = [at(points, place), at(points, to)];
    const target = reached.map((value, k) => (value - keep * float32At(x, k)) / pull);
    const rows = (values: Float32Array): Float32Array => values.subarray(0, cut);
    const weights = fitWeights(stepSums(rows(target), used.map(rows)), prior, SHRINKAGE);
    let sum = 0;
    for (let k = cut; k < target.length; k++) {
      let rest = float32At(target, k);
      for (let j = 0; j < used.length; j++) rest -= at(weights, j) * float32At(at(used, j), k);
      sum += rest ** 2;
    }
    const { signal, noise } = at(levels, to);
    return (sum * pull ** 2 * variance) / (signal ** 2 * variance + noise ** 2);
  }

  return (places) => {
    const prior = secondOrderWeights(
      schedule,
      places.map((place) => at(grid, place)),
    );
    return places.reduce((total, _, i) => {
      const before = places.slice(Math.max(0, i + 1 - ORDER), i + 1);
      const to = places[i + 1] ?? grid.length;
      const key = `${before} ${to}`;
      const error = known.get(key) ?? stepError(before, to, at(prior, i));
      known.set(key, error);
      return total + error;
    }, 0);
  };
}
