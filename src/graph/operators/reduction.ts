/** @file Means over axes. */

import { resolveAxis } from '../shapes.ts';
import type { SymbolicTensor } from '../symbolic.ts';
import { reduceSum } from './broadcasting.ts';
import { scale } from './elementwise.ts';

/** Mean over axes of known size. */
export function reduceMean(x: SymbolicTensor, axes: readonly number[], keepDims = false): SymbolicTensor {
  const count = axes.reduce(
    (product, axis) => product * Number(x.shape[resolveAxis('mean', axis, x.shape)]),
    1,
  );
  return scale(reduceSum(x, axes, keepDims), 1 / count);
}
