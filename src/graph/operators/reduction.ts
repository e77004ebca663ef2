/** @file Means over axes. */

import { ShapeError } from '../../errors.ts';
import { resolveAxis } from '../shapes.ts';
import { type SymbolicTensor, showShape } from '../symbolic.ts';
import { reduceSum } from './broadcasting.ts';
import { scale } from './elementwise.ts';

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
