import fc from 'fast-check';
import { afterEach, describe, expect, it, vi } from 'vitest';
import { createGate } from './gate.ts';

const forever = new AbortController().signal;

describe('a gate', () => {
  it('never has more samples than seats, nor more waiting than it may, and lets in by turns', async () => {
    const requests = fc.array(fc.integer({ min: 1, max: 6 }), { maxLength: 20 });
    await fc.assert(
      fc.asyncProperty(requests, fc.integer({ min: 1, max: 4 }), async (all, seats) => {
        const gate = createGate({ seats, waiting: 8 });
        const order: number[] = [];
        let refused = 0;
        const visits = all.map(async (samples, i) => {
          const enter = async () => gate.enter(samples, forever);
          const leave = await enter().catch(() => undefined);
          if (!leave) {
            refused++;
            return;
          }
          order.push(i);
          expect(gate.busy).toBeLessThanOrEqual(seats);
          expect(gate.depth).toBeLessThanOrEqual(8);
          await Promise.resolve();
          leave();
          leave();
        });
        await Promise.all(visits);
        expect(order).toEqual([...order].sort((a, b) => a - b));
        expect(order.length + refused).toBe(all.length);
        expect([gate.busy, gate.depth]).toEqual([0, 0]);
      }),
    );
  });

  it('lets the next in when one that waits leaves', async () => {
    const gate = createGate({ seats: 2, waiting: 4 });
    const leave = await gate.enter(1, forever);
    const large = new AbortController();
    const places: number[] = [];
    const waiting = gate.enter(2, large.signal);
    const small = gate.enter(1, forever, (ahead) => places.push(ahead));
    expect([gate.busy, gate.depth, places]).toEqual([1, 2, [1]]);
    const reason = new Error('gone');
    large.abort(reason);
    await expect(waiting).rejects.toBe(reason);
    (await small)();
    leave();
    expect([gate.busy, gate.depth]).toEqual([0, 0]);
    expect(() => gate.enter(1, large.signal)).toThrow(reason);
  });

  it('gives all its seats to a request for more samples than that', async () => {
    const gate = createGate({ seats: 2, waiting: 1 });
    const leave = await gate.enter(5, forever);
    expect(gate.busy).toBe(2);
    const next = gate.enter(1, forever);
    expect(gate.depth).toBe(1);
    leave();
    await next;
    expect([gate.busy, gate.depth]).toEqual([1, 0]);
  });

  it('keeps a small request behind a large one that waits', async () => {
    const gate = createGate({ seats: 3, waiting: 4 });
    const leave = await gate.enter(2, forever);
    const large = gate.enter(2, forever);
    const small = gate.enter(1, forever);
    expect([gate.busy, gate.depth]).toEqual([2, 2]);
    leave();
    await Promise.all([large, small]);
    expect([gate.busy, gate.depth]).toEqual([3, 0]);
  });

  it('reports how many requests are ahead, when one has to wait and whenever that changes', async () => {
    const gate = createGate({ seats: 1, waiting: 4 });
    const places: number[][] = [[], [], []];
    const [first, second, third] = places.map((seen) => gate.enter(1, forever, (ahead) => seen.push(ahead)));
    (await first)?.();
    (await second)?.();
    await third;
    expect(places).toEqual([[], [0], [1, 0]]);
  });

  it('leaves a request alone whose signal is aborted after it was let in', async () => {
    const gate = createGate({ seats: 1, waiting: 1 });
    const leave = await gate.enter(1, forever);
    const visitor = new AbortController();
    const visit = gate.enter(1, visitor.signal);
    leave();
    const leaveAgain = await visit;
    visitor.abort();
    expect([gate.busy, gate.depth]).toEqual([1, 0]);
    const waiting = gate.enter(1, forever);
    leaveAgain();
    await waiting;
    expect(gate.busy).toBe(1);
  });
});

describe('the time to come again', () => {
  afterEach(() => void vi.useRealTimers());

  /**
   * Seconds in the refusal of a gate with `waiting` requests in its queue, after requests that took `durations`
   * seconds.
   */
  async function retryAfter(seats: number, waiting: number, durations: readonly number[]): Promise<unknown> {
    vi.useFakeTimers({ toFake: ['performance'] });
    const gate = createGate({ seats, waiting });
    for (const seconds of durations) {
      const leave = await gate.enter(1, forever);
      vi.advanceTimersByTime(1000 * seconds);
      leave();
    }
    for (let i = 0; i < seats; i++) await gate.enter(1, forever);
    for (let i = 0; i < waiting; i++) void gate.enter(1, forever);
    try {
      await gate.enter(1, forever);
    } catch (error) {
      return error;
    }
  }

  it('is that of the requests that wait, at first one second each', async () => {
    expect(await retryAfter(1, 3, [])).toMatchObject({ status: 429, retryAfter: 3 });
    expect(await retryAfter(2, 3, [])).toMatchObject({ retryAfter: 2 });
  });

  it('follows the requests, the latest of which counts a fifth', async () => {
    expect(await retryAfter(1, 1, [11])).toMatchObject({ retryAfter: 3 });
    expect(await retryAfter(2, 4, [11, 18])).toMatchObject({ retryAfter: 12 });
  });

  it('is at least a second and at most ten minutes', async () => {
    expect(await retryAfter(4, 1, [0, 0])).toMatchObject({ retryAfter: 1 });
    expect(await retryAfter(1, 2, [7200])).toMatchObject({ retryAfter: 600 });
  });
});

describe('a full gate', () => {
  it('refuses at once, with 429 and a time to come again', async () => {
    const gate = createGate({ seats: 1, waiting: 0 });
    await gate.enter(1, forever);
    const refusal = expect.objectContaining({ status: 429, retryAfter: 1 });
    expect(() => gate.enter(1, forever)).toThrow(refusal);
  });
});
