/** @file Sums and means over axes. */

import { elementCount, float32 } from '../../tensor/tensor.ts';
import { resolveAxis } from '../shapes.ts';
import { apply, constant, integers, type Shape, type SymbolicTensor } from '../symbolic.ts';
import { scale } from './elementwise.ts';
import { expand, reshape } from './layout.ts';
import { matmul } from './linear-algebra.ts';

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

/**
 * Sum over all axes but the last, (..., C) to (C), as a product with a row of ones: the matrix kernels read
 * memory several times faster than ReduceSum does across rows.
 */
export function sumRows(x: SymbolicTensor): SymbolicTensor {
  const size = x.shape[x.shape.length - 1];
  const rows = elementCount(x.shape.slice(0, -1).map(Number));
  const ones = constant(float32([1, rows], new Float32Array(rows).fill(1)));
  return reshape(matmul(ones, reshape(x, [rows, size])), [size]);
}

/** Mean over axes of known size. */
export function reduceMean(x: SymbolicTensor, axes: readonly number[], keepDims = false): SymbolicTensor {
  const count = axes.reduce(
    (product, axis) => product * Number(x.shape[resolveAxis('mean', axis, x.shape)]),
    1,
  );
  return scale(reduceSum(x, axes, keepDims), 1 / count);
}
