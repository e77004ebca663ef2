/** @file Shape rules shared by the operators: broadcasting, axes, element counts. */

import { ShapeError } from '../errors.ts';
import { type Dim, type Shape, showShape } from './symbolic.ts';

/** A non-negative axis. @throws {ShapeError} if it is out of range. */
export function resolveAxis(operator: string, axis: number, shape: Shape): number {
  const resolved = axis < 0 ? axis + shape.length : axis;
  if (!Number.isInteger(axis) || resolved < 0 || resolved >= shape.length) {
    throw new ShapeError(`${operator}: axis ${axis} is outside shape ${showShape(shape)}`);
  }
  return resolved;
}

/** NumPy broadcasting. @throws {ShapeError} naming the operator and both shapes. */
export function broadcast(operator: string, a: Shape, b: Shape): Shape {
  const rank = Math.max(a.length, b.length);
  const out: Dim[] = [];
  for (let i = 0; i < rank; i++) {
    const dimA = a[a.length - rank + i] ?? 1;
    const dimB = b[b.length - rank + i] ?? 1;
    if (dimA !== dimB && dimA !== 1 && dimB !== 1) {
      throw new ShapeError(`${operator}: shapes ${showShape(a)} and ${showShape(b)} do not broadcast`);
    }
    out.push(dimA === 1 ? dimB : dimA);
  }
  return out;
}

export function sameShape(a: Shape, b: Shape): boolean {
  return a.length === b.length && a.every((dim, i) => dim === b[i]);
}

/** The sum of two dims; a name such as `cached+256` when one is not known yet. */
export function addDims(a: Dim, b: Dim): Dim {
  if (typeof a === 'number' && typeof b === 'number') return a + b;
  if (a === 0) return b;
  if (b === 0) return a;
  return `${a}+${b}`;
}

/** Factors of a dim such as `256*groups`: the known one, and the names. */
function factors(dim: Dim): { known: number; names: string[] } {
  if (typeof dim === 'number') return { known: dim, names: [] };
  const parts = dim.split('*');
  const names = parts.filter((part) => !/^\d+$/.test(part));
  const known = parts.reduce((product, part) => (/^\d+$/.test(part) ? product * Number(part) : product), 1);
  return { known, names };
}

/** The element count split into its known factor and its sorted unknown factors. */
export function countElements(shape: Shape): { known: number; unknown: string } {
  const all = shape.map(factors);
  const known = all.reduce((product, dim) => product * dim.known, 1);
  const unknown = all
    .flatMap(({ names }) => names)
    .sort()
    .join('*');
  return { known, unknown };
}

/** The product of dims; a name such as `256*groups` when some are not known yet. */
export function productDim(shape: Shape): Dim {
  const { known, unknown } = countElements(shape);
  return unknown === '' ? known : `${known}*${unknown}`;
}
