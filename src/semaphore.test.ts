import { describe, expect, it } from 'vitest';
import { createSemaphore } from './semaphore.ts';

describe('a semaphore', () => {
  it('of capacity 1 runs work in order, one at a time, also after work that failed', async () => {
    const exclusively = createSemaphore(1);
    const log: string[] = [];
    const work = (name: string, fails = false) =>
      exclusively(async () => {
        log.push(`begin ${name}`);
        await new Promise((resolve) => setImmediate(resolve));
        log.push(`end ${name}`);
        if (fails) throw new Error(name);
        return name;
      });
    const all = await Promise.allSettled([work('a'), work('b', true), work('c')]);
    expect(log).toEqual(['a', 'b', 'c'].flatMap((name) => [`begin ${name}`, `end ${name}`]));
    expect(all.map(({ status }) => status)).toEqual(['fulfilled', 'rejected', 'fulfilled']);
  });

  it('runs work up to its capacity at once, in order; work that costs more runs alone', async () => {
    const semaphore = createSemaphore(4);
    const started: number[] = [];
    let used = 0;
    let max = 0;
    const work = (cost: number) =>
      semaphore(async () => {
        started.push(cost);
        used += cost;
        if (cost > 4) expect(used).toBe(cost);
        else max = Math.max(max, used);
        await new Promise((resolve) => setImmediate(resolve));
        used -= cost;
      }, cost);
    const costs = [3, 1, 2, 9, 1, 1];
    await Promise.all(costs.map(work));
    expect(started).toEqual(costs);
    expect(max).toBe(4);
  });
});
