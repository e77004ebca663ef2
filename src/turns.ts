/** @file Work that must not overlap, such as work that shares scratch memory, takes turns. */

/** Runs work after all earlier work has ended, successfully or not. */
export type Turns = <Result>(work: () => Promise<Result> | Result) => Promise<Result>;

/** Makes a new queue: first come, first served. */
export function createTurns(): Turns {
  let last: Promise<unknown> = Promise.resolve();
  return (work) => {
    const mine = last.then(work);
    last = mine.catch(() => {});
    return mine;
  };
}
