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

/** Signs outside parentheses: a sum in a product stands in them, as one factor. */
const PRODUCT_SIGN = /\*(?![^(]*\))/;
const SUM_SIGN = /\+(?![^(]*\))/;

/** A dim as a number plus multiples of names: `2*rows+1` is 1 plus 2 times `rows`. */
function terms(dim: Dim): { known: number; multiples: Map<string, number> } {
  const multiples = new Map<string, number>();
  let known = 0;
  for (const term of String(dim).split(SUM_SIGN)) {
    const { known: factor, names } = factors(/^-?\d+$/.test(term) ? Number(term) : term);
    const name = names.join('*');
    if (name === '') known += factor;
    else multiples.set(name, (multiples.get(name) ?? 0) + factor);
  }
  return { known, multiples };
}

function dimOf(known: number, multiples: ReadonlyMap<string, number>): Dim {
  if (multiples.size === 0) return known;
  const shown = [...multiples].map(([name, factor]) => (factor === 1 ? name : `${factor}*${name}`)).sort();
  return [...shown, ...(known === 0 ? [] : [known])].join('+');
}

/** The sum of two dims; a name such as `cached+256` when one is not known yet. */
export function addDims(a: Dim, b: Dim): Dim {
  const sum = terms(a);
  const other = terms(b);
  for (const [name, factor] of other.multiples) {
    sum.multiples.set(name, (sum.multiples.get(name) ?? 0) + factor);
  }
  return dimOf(sum.known + other.known, sum.multiples);
}

/**
 * The dim divided by a whole number and rounded down, where that is known: `2*rows+1` by 2 is `rows`.
 * @returns undefined where it depends on what a name stands for
 */
export function divideDim(dim: Dim, divisor: number): Dim | undefined {
  const { known, multiples } = terms(dim);
  if ([...multiples.values()].some((factor) => factor % divisor !== 0)) return undefined;
  const divided = [...multiples].map(([name, factor]) => [name, factor / divisor] as const);
  return dimOf(Math.floor(known / divisor), new Map(divided));
}

/** Factors of a dim such as `256*groups`: the known one, and the names; a sum in parentheses is a name. */
function factors(dim: Dim): { known: number; names: string[] } {
  if (typeof dim === 'number') return { known: dim, names: [] };
  if (SUM_SIGN.test(dim)) return { known: 1, names: [`(${dim})`] };
  const parts = dim.split(PRODUCT_SIGN);
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
