/** @file The nearest of some known words, for "did you mean". */

/** Levenshtein's edit distance. */
export function editDistance(a: string, b: string): number {
  let row = Array.from({ length: b.length + 1 }, (_, j) => j);
  for (let i = 1; i <= a.length; i++) {
    const next = [i];
    for (let j = 1; j <= b.length; j++) {
      next.push(Math.min(next[j - 1] + 1, row[j] + 1, row[j - 1] + (a[i - 1] === b[j - 1] ? 0 : 1)));
    }
    row = next;
  }
  return row[b.length];
}

/** The candidate that begins with `word`, or else has the smallest edit distance to it, letter case aside. */
export function nearest(word: string, candidates: readonly string[]): string {
  const wanted = word.toLowerCase();
  const distance = (candidate: string): number =>
    wanted !== '' && candidate.toLowerCase().startsWith(wanted)
      ? 0
      : editDistance(wanted, candidate.toLowerCase());
  return candidates.reduce((best, candidate) => (distance(candidate) < distance(best) ? candidate : best));
}
