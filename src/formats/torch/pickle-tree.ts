/** @file Making sure that an unpickled value can be walked: it is a tree, and not an exploding one. */

import type { PickleValue } from './pickle.ts';

/** Deeper than any real checkpoint, and shallow enough for recursive readers of it. */
const MAX_DEPTH = 200;
/**
 * Max values that sharing may add, when the shared ones are counted each time they appear: a function that walks a value
 * visits them all. Optimizer states have some 100,000 values.
 */
const MAX_SHARED = 1_000_000;

interface Extent {
  /** Values in it, itself included, shared ones counted each time. */
  readonly values: number;
  /** Levels of nesting, 1 for a leaf. */
  readonly depth: number;
}

const LEAF: Extent = { values: 1, depth: 1 };

/**
 * Checks that a value has no cycles, no implausible depth, and no sharing that makes it explode when written out
 * ("billion laughs").
 * @param children what an object of the host contains; throws for one that must not be part of the result.
 * @param problem makes the error to throw.
 */
export function checkTree<H extends object>(
  root: PickleValue<H>,
  children: (object: H) => Iterable<PickleValue<H>>,
  problem: (what: string) => Error,
): void {
  const extents = new Map<object, Extent>();
  const open = new Set<object>();
  let distinct = 1;

  function measure(value: PickleValue<H>): Extent {
    if (typeof value !== 'object' || value === null || value instanceof Uint8Array) return LEAF;
    const known = extents.get(value);
    if (known) return known;
    if (open.has(value)) throw problem('a value contains itself');
    open.add(value);
    if (open.size > MAX_DEPTH) throw tooDeep();
    const extent = measureAll(contents(value, children));
    open.delete(value);
    extents.set(value, extent);
    return extent;
  }

  function measureAll(parts: Iterable<PickleValue<H>>): Extent {
    let { values, depth } = LEAF;
    for (const part of parts) {
      distinct++;
      const extent = measure(part);
      values += extent.values;
      depth = Math.max(depth, extent.depth + 1);
      if (values > distinct + MAX_SHARED)
        throw problem(`shared values would add more than ${MAX_SHARED} once written out`);
      if (depth > MAX_DEPTH) throw tooDeep();
    }
    return { values, depth };
  }

  const tooDeep = () => problem(`values are nested more than ${MAX_DEPTH} deep`);
  measure(root);
}

function* contents<H extends object>(
  value: readonly PickleValue<H>[] | Map<PickleValue<H>, PickleValue<H>> | H,
  children: (object: H) => Iterable<PickleValue<H>>,
): Iterable<PickleValue<H>> {
  if (Array.isArray(value)) yield* value as readonly PickleValue<H>[];
  else if (value instanceof Map) for (const entry of value) yield* entry;
  else yield* children(value as H);
}
