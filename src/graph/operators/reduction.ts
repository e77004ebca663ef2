/** @file Sums and means over axes. */

import { resolveAxis } from '../shapes.ts';
import { apply, integers, type Shape, type SymbolicTensor } from '../symbolic.ts';
import { scale } from './elementwise.ts';
import { expand, reshape } from './layout.ts';

function reducedShape(shape: Shape, axes: readonly number[], keepDims: boolean): Shape {
  return shape.flatMap((dim, axis) => (axes.includes(axis) ? (keepDims ? [1] : []) : [dim]));
}

/** Sum over `axes`; they stay as dims of 1 if `keepDims`. */
export function reduceSum(x: SymbolicTensor, axes: readonly number[], keepDims = false): SymbolicTensor {
  const resolved = axes.map((axis) => resolveAxis('ReduceSum', axis, x.shape));
  return apply({
    operator: 'ReduceSum',
    inputs: [x, integers(resolved)],
    attributes: { keepdims: keepDims ? 1 : 0 },
    outputs: [{ shape: reducedShape(x.shape, resolved, keepDims) }],
    gradient: ([g]) => [g && expand(reshape(g, reducedShape(x.shape, resolved, true)), x.shape)],
  })[0];
}

/** Mean over axes of known size. */
export function reduceMean(x: SymbolicTensor, axes: readonly number[], keepDims = false): SymbolicTensor {
  const count = axes.reduce((product, axis) => product * Number(x.shape[resolveAxis('mean', axis, x.shape)]), 1);
  return scale(reduceSum(x, axes, keepDims), 1 / count);
}
