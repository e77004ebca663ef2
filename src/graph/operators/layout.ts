/** @file Operators that reorder, join and cut. */

import { at } from '../../at.ts';
import { ShapeError } from '../../errors.ts';
import { addDims, resolveAxis } from '../shapes.ts';
import {
  apply,
  applyOne,
  type Dim,
  integers,
  type Shape,
  type SymbolicTensor,
  showShape,
} from '../symbolic.ts';
import { constantZeros } from './broadcasting.ts';

/** Axis i of the result is axis `permutation[i]` of x. */
export function transpose(x: SymbolicTensor, permutation: readonly number[]): SymbolicTensor {
  if ([...permutation].sort((a, b) => a - b).join() !== x.shape.map((_, axis) => axis).join()) {
    throw new ShapeError(
      `Transpose: [${permutation}] is not a permutation of the axes of ${showShape(x.shape)}`,
    );
  }
  const inverse = permutation.map((_, axis) => permutation.indexOf(axis));
  return applyOne({
    operator: 'Transpose',
    inputs: [x],
    attributes: { perm: permutation },
    shape: permutation.map((axis) => at(x.shape, axis)),
    gradient: (g) => [transpose(g, inverse)],
  });
}

/** Join along an axis. */
export function concat(parts: readonly SymbolicTensor[], axis: number): SymbolicTensor {
  const [first, ...rest] = parts;
  if (!first) throw new ShapeError('Concat: there are no parts to join');
  const resolved = resolveAxis('Concat', axis, first.shape);
  if (rest.length === 0) return first;
  const shape: Dim[] = [...first.shape];
  for (const part of rest) {
    const fits =
      part.shape.length === shape.length && part.shape.every((dim, i) => i === resolved || dim === shape[i]);
    if (part.dtype !== first.dtype) {
      throw new ShapeError(`Concat: cannot join ${first.dtype} and ${part.dtype}`);
    }
    if (!fits) {
      throw new ShapeError(
        `Concat: shapes ${showShape(first.shape)} and ${showShape(part.shape)} differ in another axis than ${resolved}`,
      );
    }
    shape[resolved] = addDims(at(shape, resolved), at(part.shape, resolved));
  }
  const sizes = parts.map((part) => Number(part.shape[resolved]));
  return applyOne({
    operator: 'Concat',
    inputs: parts,
    attributes: { axis: resolved },
    shape,
    gradient: (g) => split(g, resolved, sizes),
  });
}

/** A symbol for each size. */
export type Pieces<Sizes extends readonly number[]> = { readonly [Index in keyof Sizes]: SymbolicTensor };

/** Cut into pieces of the given known sizes along an axis. */
export function split<const Sizes extends readonly number[]>(
  x: SymbolicTensor,
  axis: number,
  sizes: Sizes,
): Pieces<Sizes> {
  const resolved = resolveAxis('Split', axis, x.shape);
  const total = sizes.reduce((sum, size) => sum + size, 0);
  if (total !== x.shape[resolved] || sizes.some((size) => !(size >= 0))) {
    throw new ShapeError(
      `Split: sizes [${sizes}] do not add up to axis ${resolved} of ${showShape(x.shape)}`,
    );
  }
  const pieceShape = (size: number): Shape => x.shape.map((dim, i) => (i === resolved ? size : dim));
  if (sizes.length === 1) return [x] as readonly SymbolicTensor[] as Pieces<Sizes>;
  const pieces = apply({
    operator: 'Split',
    inputs: [x, integers(sizes)],
    attributes: { axis: resolved },
    outputs: sizes.map((size) => ({ shape: pieceShape(size), dtype: x.dtype })),
    gradient(gradients) {
      const all = gradients.map((g, i) => g ?? constantZeros(pieceShape(at(sizes, i))));
      return [concat(all, resolved)];
    },
  });
  return pieces as Pieces<Sizes>;
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
  return applyOne({
    operator: 'Slice',
    inputs: [x, integers([start]), integers([end]), integers([resolved])],
    shape: shapeWith(end - start),
    gradient: (g) => {
      const parts = [g];
      if (start > 0) parts.unshift(constantZeros(shapeWith(start)));
      if (end < size) parts.push(constantZeros(shapeWith(size - end)));
      return [concat(parts, resolved)];
    },
  });
}
