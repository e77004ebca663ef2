/** @file Means and sums of squares over axes. */

import { ShapeError } from '../../errors.ts';
import { resolveAxis } from '../shapes.ts';
import { applyOne, integers, type SymbolicTensor, showShape } from '../symbolic.ts';
import { reduceSum } from './broadcasting.ts';
import { multiply, scale } from './elementwise.ts';

/** Sum of squares over the last axis, which stays as a dim of 1: one pass, and no squares in memory. */
export function sumOfSquares(x: SymbolicTensor): SymbolicTensor {
  const axis = resolveAxis('sumOfSquares', -1, x.shape);
  return applyOne({
    operator: 'ReduceSumSquare',
    inputs: [x, integers([axis])],
    attributes: { keepdims: 1 },
    shape: [...x.shape.slice(0, -1), 1],
    gradient: (g) => [multiply(scale(g, 2), x)],
  });
}

/** Mean over axes of known size. */
export function reduceMean(x: SymbolicTensor, axes: readonly number[], keepDims = false): SymbolicTensor {
  const count = axes.reduce(
    (product, axis) => product * Number(x.shape[resolveAxis('reduceMean', axis, x.shape)]),
    1,
  );
  if (Number.isNaN(count)) {
    throw new ShapeError(`reduceMean: axes [${axes}] of ${showShape(x.shape)} are not all of known size`);
  }
  return scale(reduceSum(x, axes, keepDims), 1 / count);
}
