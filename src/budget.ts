/** @file Limits the work that runs at the same time, to save memory. */

/** Runs work as soon as the free capacity is enough for it. */
export type Budget = <T>(cost: number, work: () => Promise<T>) => Promise<T>;

/**
 * Runs work as long as its costs together are at most `capacity`, first come, first served. Work that costs more runs
 * alone.
 */
export function createBudget(capacity: number): Budget {
  const waiting: { readonly cost: number; readonly start: () => void }[] = [];
  let used = 0;
  const startNext = (): void => {
    for (let next = waiting[0]; next && used + next.cost <= capacity; next = waiting[0]) {
      const { cost, start } = next;
      waiting.shift();
      used += cost;
      start();
    }
  };
  return async (cost, work) => {
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
