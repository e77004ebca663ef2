/**
 * @file Repeating elements and adding them up, each of which is the other's gradient, and the reshape that both
 * lean on. They stand together so that no other operators need to know each other.
 */

import { at } from '../../at.ts';
import { ShapeError } from '../../errors.ts';
import { elementCount, float32 } from '../../tensor/tensor.ts';
import { broadcast, countElements, resolveAxis, sameShape } from '../shapes.ts';
import { applyOne, constant, integers, type Shape, type SymbolicTensor, showShape } from '../symbolic.ts';

/** ONNX's target for a reshape: 0 copies the dim at the same place, -1 infers one. */
function reshapeTarget(from: Shape, to: Shape): number[] {
  let inferred = 0;
  const target = to.map((dim, axis) => {
    if (typeof dim === 'number') return dim;
    if (from[axis] === dim) return 0;
    inferred++;
    return -1;
  });
  if (inferred > 1) {
    throw new ShapeError(`Reshape: ${showShape(from)} to ${showShape(to)} moves more than one unknown dim`);
  }
  return target;
}

/** The same elements, in order, in another shape. Of a reshape and its way back nothing is left. */
export function reshape(x: SymbolicTensor, shape: Shape): SymbolicTensor {
  if (sameShape(x.shape, shape)) return x;
  if (x.source.kind === 'node' && x.source.node.operator === 'Reshape') {
    const origin = at(x.source.node.inputs, 0);
    if (sameShape(origin.shape, shape)) return origin;
  }
  const from = countElements(x.shape);
  const to = countElements(shape);
  if (from.known !== to.known || from.unknown !== to.unknown) {
    throw new ShapeError(`Reshape: ${showShape(x.shape)} does not fit into ${showShape(shape)}`);
  }
  return applyOne({
    operator: 'Reshape',
    inputs: [x, integers(reshapeTarget(x.shape, shape))],
    shape,
    gradient: (g) => [reshape(g, x.shape)],
  });
}

/** Repeat dims of 1 to the given shape. */
export function expand(x: SymbolicTensor, shape: Shape): SymbolicTensor {
  if (sameShape(x.shape, shape)) return x;
  if (
    !sameShape(broadcast('Expand', x.shape, shape), shape) ||
    shape.some((dim) => typeof dim !== 'number')
  ) {
    throw new ShapeError(`Expand: ${showShape(x.shape)} does not expand to ${showShape(shape)}`);
  }
  return applyOne({
    operator: 'Expand',
    inputs: [x, integers(shape.map(Number))],
    shape,
    gradient: (g) => [sumTo(g, x.shape)],
  });
}

/** Zeros of a known shape. */
export function constantZeros(shape: Shape): SymbolicTensor {
  return filled(shape, 0);
}

/** A known shape of one value, kept as one element and expanded when run. */
export function filled(shape: Shape, value: number): SymbolicTensor {
  const ones = shape.map(() => 1);
  return expand(constant(float32(ones, [value])), shape);
}

function reducedShape(shape: Shape, axes: readonly number[], keepDims: boolean): Shape {
  return shape.flatMap((dim, axis) => (axes.includes(axis) ? (keepDims ? [1] : []) : [dim]));
}

/** Sum over `axes`; they stay as dims of 1 if `keepDims`. */
export function reduceSum(x: SymbolicTensor, axes: readonly number[], keepDims = false): SymbolicTensor {
  const resolved = axes.map((axis) => resolveAxis('ReduceSum', axis, x.shape));
  if (new Set(resolved).size < resolved.length) {
    throw new ShapeError(`ReduceSum: axes [${axes}] of ${showShape(x.shape)} name one axis twice`);
  }
  if (resolved.length === 0) return x; // ONNX would take none for all
  return applyOne({
    operator: 'ReduceSum',
    inputs: [x, integers(resolved)],
    attributes: { keepdims: keepDims ? 1 : 0 },
    shape: reducedShape(x.shape, resolved, keepDims),
    gradient: (g) => [expand(reshape(g, reducedShape(x.shape, resolved, true)), x.shape)],
  });
}

/**
 * Sum over all axes but the last, (..., C) to (C), as a product with a row of ones: the matrix kernels read
 * memory several times faster than ReduceSum does across rows.
 */
export function sumRows(x: SymbolicTensor): SymbolicTensor {
  const size = at(x.shape, -1);
  const rows = elementCount(x.shape.slice(0, -1).map(Number));
  const ones = constant(float32([1, rows], new Float32Array(rows).fill(1)));
  const sum = applyOne({
    operator: 'MatMul',
    inputs: [ones, reshape(x, [rows, size])],
    shape: [1, size],
    gradient: (g) => [undefined, expand(g, [rows, size])],
  });
  return reshape(sum, [size]);
}

/** Undo broadcasting: sum `gradient` over the axes along which `shape` was repeated. */
export function sumTo(gradient: SymbolicTensor, shape: Shape): SymbolicTensor {
  if (sameShape(gradient.shape, shape)) return gradient;
  if (!sameShape(broadcast('sumTo', gradient.shape, shape), gradient.shape)) {
    throw new ShapeError(`sumTo: ${showShape(gradient.shape)} is not a repetition of ${showShape(shape)}`);
  }
  const extra = gradient.shape.length - shape.length;
  const axes = gradient.shape.flatMap((dim, axis) =>
    axis < extra || (shape[axis - extra] === 1 && dim !== 1) ? [axis] : [],
  );
  if (shape.length === 1 && axes.length === extra && extra > 0) return sumRows(gradient);
  const summed = axes.length > 0 ? reduceSum(gradient, axes, true) : gradient;
  return extra > 0 ? reshape(summed, shape) : summed;
}
