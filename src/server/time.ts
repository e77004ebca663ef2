/** @file Seconds, for timers and since 1970. */

/** Longer timers would fire at once. */
const LONGEST = 2 ** 31 - 1;

/** Returns seconds as whole milliseconds, at most what a timer can wait for: 24 days. */
export function milliseconds(seconds: number): number {
  return Math.min(LONGEST, Math.ceil(seconds * 1000));
}

/** Returns the seconds since 1970. */
export function now(): number {
  return Math.floor(Date.now() / 1000);
}

/** Resolves once a signal is aborted. */
export function whenAborted(signal: AbortSignal): Promise<void> {
  if (signal.aborted) return Promise.resolve();
  return new Promise((resolve) => signal.addEventListener('abort', () => resolve(), { once: true }));
}
