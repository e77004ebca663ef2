/** @file Compares two lists of class names: labels mean the same only if the names are the same, in the same order. */

import { at } from '../../at.ts';
import { printable } from '../../io/printable.ts';

type Names = readonly string[];

/** Checks whether two lists have the same names in the same order. */
export function sameClasses(a: Names | undefined, b: Names | undefined): boolean {
  return a?.length === b?.length && a?.every((name, label) => name === b?.[label]) !== false;
}

/**
 * Describes how a list of classes changed, such as `2 classes then, 3 now ('c' is new)` or `class 0 was 'a' and is now
 * 'b'`; undefined if it is the same.
 */
export function classChange(then: Names, now: Names): string | undefined {
  if (then.length !== now.length) {
    const [added, gone] = [without(now, then), without(then, now)];
    const details = [
      ...added.map((name) => `${quoted(name)} is new`),
      ...gone.map((name) => `${quoted(name)} is gone`),
    ];
    const shown = details.slice(0, SHOWN).join(', ') + (details.length > SHOWN ? ', ...' : '');
    return `${then.length} ${then.length === 1 ? 'class' : 'classes'} then, ${now.length} now${shown && ` (${shown})`}`;
  }
  const moved = [...then.keys()].filter((label) => then[label] !== now[label]);
  if (moved.length === 0) return undefined;
  const shown = moved
    .slice(0, SHOWN)
    .map((label) => `class ${label} was ${quoted(at(then, label))} and is now ${quoted(at(now, label))}`);
  return shown.join(', ') + (moved.length > SHOWN ? `, and ${moved.length - SHOWN} more` : '');
}

/** Finds the first name that both lists have, with different labels. */
export function movedClass(
  a: Names,
  b: Names,
): { readonly name: string; readonly labels: readonly [number, number] } | undefined {
  const places = new Map(b.map((name, label) => [name, label]));
  for (const [label, name] of a.entries()) {
    const other = places.get(name);
    if (other !== undefined && other !== label && b[label] !== name) return { name, labels: [label, other] };
  }
  return undefined;
}

/** Max differences in a message. */
const SHOWN = 3;

function without(names: Names, others: Names): string[] {
  const known = new Set(others);
  return names.filter((name) => !known.has(name));
}

function quoted(name: string): string {
  return `'${printable(name)}'`;
}
