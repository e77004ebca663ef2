/** @file Limits work that runs at the same time, to save memory or because it shares scratch memory. */

/** Runs work, of cost 1 by default, as soon as the free capacity is enough for it. */
export type Semaphore = <Result>(work: () => Promise<Result> | Result, cost?: number) => Promise<Result>;

/**
 * Makes a semaphore: the costs of the work that runs at the same time are together at most `capacity`, first come, first
 * served. Work that costs more runs alone. A semaphore of capacity 1 is a mutex.
 */
export function createSemaphore(capacity: number): Semaphore {
  const waiting: { readonly cost: number; readonly start: () => void }[] = [];
  let used = 0;
  const startNext = (): void => {
    for (let next = waiting[0]; next && used + next.cost <= capacity; next = waiting[0]) {
      waiting.shift();
      used += next.cost;
      next.start();
    }
  };
  return async (work, cost = 1) => {
    const taken = Math.min(cost, capacity);
    await new Promise<void>((start) => {
      waiting.push({ cost: taken, start });
      startNext();
    });
    try {
      return await work();
    } finally {
      used -= taken;
      startNext();
    }
  };
}
