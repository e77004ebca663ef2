/** @file The nearest of some known words, for "did you mean". */

import { at } from './at.ts';

/** Two words are similar if at most one in this many of the longer one's letters differs. */
const LETTERS_PER_MISTAKE = 3;
/** Shorter beginnings of a word match too many words. */
const SHORTEST_PREFIX = 3;

/**
 * Edit distance in which a letter inserted, deleted or replaced, or two neighbours swapped, count 1 (the optimal
 * string alignment distance).
 */
export function editDistance(a: string, b: string): number {
  let before: number[] = [];
  let row = Array.from({ length: b.length + 1 }, (_, j) => j);
  for (let i = 1; i <= a.length; i++) {
    const next = [i];
    for (let j = 1; j <= b.length; j++) {
      const replaced = at(row, j - 1) + (a[i - 1] === b[j - 1] ? 0 : 1);
      next.push(Math.min(at(next, j - 1) + 1, at(row, j) + 1, replaced));
      const swapped = i > 1 && j > 1 && a[i - 1] === b[j - 2] && a[i - 2] === b[j - 1];
      if (swapped) next[j] = Math.min(at(next, j), at(before, j - 2) + 1);
    }
    [before, row] = [row, next];
  }
  return at(row, b.length);
}

/**
 * Returns the candidate that begins with `word`, or else has the smallest edit distance to it, ignoring letter case;
 * `undefined` if none is similar: an unrelated word does not help.
 */
export function nearest(word: string, candidates: readonly string[]): string | undefined {
  const wanted = word.toLowerCase();
  let best: string | undefined;
  let smallest = Number.POSITIVE_INFINITY;
  for (const candidate of candidates) {
    const distance = distanceOf(wanted, candidate.toLowerCase());
    if (distance === undefined || distance >= smallest) continue;
    [best, smallest] = [candidate, distance];
  }
  return best;
}

/** Returns the distance of two similar words; else undefined. */
function distanceOf(wanted: string, candidate: string): number | undefined {
  if (wanted.length >= SHORTEST_PREFIX && candidate.startsWith(wanted)) return 0;
  const most = Math.floor(Math.max(wanted.length, candidate.length) / LETTERS_PER_MISTAKE);
  // Compare lengths first, so that a long text from a client costs nothing.
  if (Math.abs(wanted.length - candidate.length) > most) return undefined;
  const distance = editDistance(wanted, candidate);
  return distance <= most ? distance : undefined;
}

/**
 * Returns the clause that suggests the nearest candidate, such as `; did you mean --steps?`, or an empty text if none is
 * near.
 * @param shown writes the candidate as the message shows it.
 */
export function didYouMean(
  word: string,
  candidates: readonly string[],
  shown = (candidate: string): string => candidate,
): string {
  const candidate = nearest(word, candidates);
  return candidate === undefined ? '' : `; did you mean ${shown(candidate)}?`;
}
