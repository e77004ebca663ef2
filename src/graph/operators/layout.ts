/** @file Operators that move elements without changing them. */

import { ShapeError } from '../../errors.ts';
import { zeros } from '../../tensor/tensor.ts';
import { addDims, broadcast, countElements, resolveAxis, sameShape } from '../shapes.ts';
import {
  apply,
  constant,
  type Dim,
  integers,
  type Shape,
  type SymbolicTensor,
  showShape,
} from '../symbolic.ts';
import { sumTo } from './elementwise.ts';

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

/** The same elements, in order, in another shape. */
export function reshape(x: SymbolicTensor, shape: Shape): SymbolicTensor {
  if (sameShape(x.shape, shape)) return x;
  const from = countElements(x.shape);
  const to = countElements(shape);
  if (from.known !== to.known || from.unknown !== to.unknown) {
    throw new ShapeError(`Reshape: ${showShape(x.shape)} does not fit into ${showShape(shape)}`);
  }
  return apply({
    operator: 'Reshape',
    inputs: [x, integers(reshapeTarget(x.shape, shape))],
    outputs: [{ shape, dtype: x.dtype }],
    gradient: ([g]) => [g && reshape(g, x.shape)],
  })[0];
}

/** Axis i of the result is axis `permutation[i]` of x. */
export function transpose(x: SymbolicTensor, permutation: readonly number[]): SymbolicTensor {
  if ([...permutation].sort((a, b) => a - b).join() !== x.shape.map((_, axis) => axis).join()) {
    throw new ShapeError(
      `Transpose: [${permutation}] is no permutation of the axes of ${showShape(x.shape)}`,
    );
  }
  const inverse = permutation.map((_, axis) => permutation.indexOf(axis));
  return apply({
    operator: 'Transpose',
    inputs: [x],
    attributes: { perm: permutation },
    outputs: [{ shape: permutation.map((axis) => x.shape[axis]), dtype: x.dtype }],
    gradient: ([g]) => [g && transpose(g, inverse)],
  })[0];
}

/** Join along an axis. */
export function concat(parts: readonly SymbolicTensor[], axis: number): SymbolicTensor {
  const [first, ...rest] = parts;
  if (rest.length === 0) return first;
  const resolved = resolveAxis('Concat', axis, first.shape);
  const shape: Dim[] = [...first.shape];
  for (const part of rest) {
    const fits =
      part.shape.length === shape.length && part.shape.every((dim, i) => i === resolved || dim === shape[i]);
    if (!fits) {
      throw new ShapeError(
        `Concat: shapes ${showShape(first.shape)} and ${showShape(part.shape)} differ beside axis ${resolved}`,
      );
    }
    shape[resolved] = addDims(shape[resolved], part.shape[resolved]);
  }
  return apply({
    operator: 'Concat',
    inputs: parts,
    attributes: { axis: resolved },
    outputs: [{ shape, dtype: first.dtype }],
    gradient: ([g]) =>
      g
        ? split(
            g,
            resolved,
            parts.map((part) => Number(part.shape[resolved])),
          )
        : [],
  })[0];
}

/** Cut into pieces of the given known sizes along an axis. */
export function split(x: SymbolicTensor, axis: number, sizes: readonly number[]): readonly SymbolicTensor[] {
  const resolved = resolveAxis('Split', axis, x.shape);
  if (sizes.length === 1) return [x];
  const total = sizes.reduce((sum, size) => sum + size, 0);
  if (!(total === x.shape[resolved])) {
    throw new ShapeError(
      `Split: sizes [${sizes}] do not add up to axis ${resolved} of ${showShape(x.shape)}`,
    );
  }
  const pieceShape = (size: number): Shape => x.shape.map((dim, i) => (i === resolved ? size : dim));
  return apply({
    operator: 'Split',
    inputs: [x, integers(sizes)],
    attributes: { axis: resolved },
    outputs: sizes.map((size) => ({ shape: pieceShape(size), dtype: x.dtype })),
    gradient: (gradients) => [
      concat(
        gradients.map((g, i) => g ?? constantZeros(pieceShape(sizes[i]))),
        resolved,
      ),
    ],
  });
}

/** Elements `start` up to `end` of an axis of known size. */
export function slice(x: SymbolicTensor, axis: number, start: number, end: number): SymbolicTensor {
  const resolved = resolveAxis('Slice', axis, x.shape);
  const size = x.shape[resolved];
  if (start === 0 && end === size) return x;
  if (typeof size !== 'number' || start < 0 || end <= start || end > size) {
    throw new ShapeError(`Slice: ${start}..${end} is outside axis ${resolved} of ${showShape(x.shape)}`);
  }
  const shapeWith = (length: number): Shape => x.shape.map((dim, i) => (i === resolved ? length : dim));
  return apply({
    operator: 'Slice',
    inputs: [x, integers([start]), integers([end]), integers([resolved])],
    outputs: [{ shape: shapeWith(end - start), dtype: x.dtype }],
    gradient: ([g]) => {
      if (!g) return [];
      const parts = [g];
      if (start > 0) parts.unshift(constantZeros(shapeWith(start)));
      if (end < size) parts.push(constantZeros(shapeWith(size - end)));
      return [concat(parts, resolved)];
    },
  })[0];
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
  return apply({
    operator: 'Expand',
    inputs: [x, integers(shape.map(Number))],
    outputs: [{ shape, dtype: x.dtype }],
    gradient: ([g]) => [g && sumTo(g, x.shape)],
  })[0];
}

/** Zeros of a known shape, kept as one element and expanded when run. */
export function constantZeros(shape: Shape): SymbolicTensor {
  return expand(
    constant(
      zeros(
        'float32',
        shape.map(() => 1),
      ),
    ),
    shape,
  );
}
