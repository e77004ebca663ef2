/** @file Converts seconds for timers. */

/** Longer timers would fire at once. */
const LONGEST = 2 ** 31 - 1;

/** Returns seconds as milliseconds, at most what a timer can wait for: 24 days. */
export function milliseconds(seconds: number): number {
  return Math.min(LONGEST, seconds * 1000);
}
