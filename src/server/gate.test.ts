import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
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

  it('refuses at once, with 429 and a time to come again', async () => {
    const gate = createGate({ seats: 1, waiting: 0 });
    await gate.enter(1, forever);
    const refusal = expect.objectContaining({ status: 429, retryAfter: 1 });
    expect(() => gate.enter(1, forever)).toThrow(refusal);
  });
});
