/**
 * @file Least squares for the weights of a solver's step, under the constraint that their sum is 1 and with shrinkage
 * towards known weights.
 */

import { at, float32At, float64At } from '../at.ts';

/** Sums over values that determine the weights of one step: enough for any shrinkage and for the error of any weights. */
export interface StepSums {
  /** Clean samples that are weighed. */
  readonly count: number;
  /** Products of the differences of older clean samples to the newest, (count - 1) x (count - 1). */
  readonly gram: Float64Array;
  /** Products of these differences with the target's difference to the newest, count - 1. */
  readonly moments: Float64Array;
}

/**
 * Adds up, over all values, what the weights of a step depend on. With the sum of the weights being 1, the target minus the
 * newest clean sample is a combination of the other samples' differences to the newest, without a constraint.
 * @param target what sum_j w_j cleans_j should be.
 * @param cleans newest first, any shape.
 */
export function stepSums(target: Float32Array, cleans: readonly Float32Array[]): StepSums {
  const count = cleans.length;
  const size = count - 1;
  const gram = new Float64Array(size * size);
  const moments = new Float64Array(size);
  const differences = new Float64Array(size);
  const newest = at(cleans, 0);
  for (let i = 0; i < target.length; i++) {
    const base = float32At(newest, i);
    for (let j = 0; j < size; j++) differences[j] = float32At(at(cleans, j + 1), i) - base;
    const wanted = float32At(target, i) - base;
    for (let j = 0; j < size; j++) {
      const own = float64At(differences, j);
      moments[j] = float64At(moments, j) + own * wanted;
      for (let k = 0; k <= j; k++) {
        gram[j * size + k] = float64At(gram, j * size + k) + own * float64At(differences, k);
      }
    }
  }
  for (let j = 0; j < size; j++)
    for (let k = 0; k < j; k++) gram[k * size + j] = float64At(gram, j * size + k);
  return { count, gram, moments };
}

/**
 * Returns the weights w with sum 1 that minimise
 *
 *     |target - sum_j w_j c_j|^2 + shrinkage sum_j |c_j - c_0|^2 (w_j - prior_j)^2     (j = 1, 2, ...)
 *
 * so that shrinkage has no unit: 0 is least squares, and large values give the prior.
 * @param prior weights with sum 1; missing ones are 0.
 */
export function fitWeights(
  { count, gram, moments }: StepSums,
  prior: readonly number[],
  shrinkage: number,
): number[] {
  const size = count - 1;
  const matrix = Float64Array.from(gram);
  const right = Float64Array.from(moments);
  for (let j = 0; j < size; j++) {
    const scale = float64At(gram, j * size + j);
    matrix[j * size + j] = scale * (1 + shrinkage);
    right[j] = float64At(moments, j) + shrinkage * scale * (prior[j + 1] ?? 0);
  }
  const others = solveSymmetric(matrix, right);
  return [others.reduce((rest, weight) => rest - weight, 1), ...others];
}

/** A pivot below this share of its diagonal element is rounding: its column adds nothing to those before it. */
const SMALLEST_PIVOT = 1e-10;

/** Solves A x = b for a positive semidefinite A by its factors L D Lᵀ; a dependent column gets 0. */
function solveSymmetric(matrix: Float64Array, right: Float64Array): number[] {
  const size = right.length;
  const lower = new Float64Array(size * size);
  const pivots = new Float64Array(size);
  const solution = Float64Array.from(right);
  for (let j = 0; j < size; j++) {
    let pivot = float64At(matrix, j * size + j);
    for (let k = 0; k < j; k++) pivot -= float64At(lower, j * size + k) ** 2 * float64At(pivots, k);
    const isDependent = !(pivot > SMALLEST_PIVOT * float64At(matrix, j * size + j));
    pivots[j] = isDependent ? 0 : pivot;
    for (let i = j + 1; i < size; i++) {
      let sum = float64At(matrix, i * size + j);
      for (let k = 0; k < j; k++) {
        sum -= float64At(lower, i * size + k) * float64At(lower, j * size + k) * float64At(pivots, k);
      }
      lower[i * size + j] = isDependent ? 0 : sum / pivot;
    }
    for (let k = 0; k < j; k++) {
      solution[j] = float64At(solution, j) - float64At(lower, j * size + k) * float64At(solution, k);
    }
  }
  for (let j = size - 1; j >= 0; j--) {
    const pivot = float64At(pivots, j);
    let value = pivot === 0 ? 0 : float64At(solution, j) / pivot;
    if (pivot !== 0) {
      for (let i = j + 1; i < size; i++) value -= float64At(lower, i * size + j) * float64At(solution, i);
    }
    solution[j] = value;
  }
  return [...solution];
}
