import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { portPair } from '../../test/support/port-pair.ts';
import { ArgumentError, DeviceError } from '../errors.ts';
import { yieldToEventLoop } from '../event-loop.ts';
import type { Call } from './protocol.ts';
import { connect } from './remote.ts';
import { serve, transferred } from './serve.ts';

/** A call of `events` events, and how it ends. */
interface Count {
  readonly call: number;
  readonly events: number;
  readonly fails: boolean;
}

interface TestCalls {
  double: Call<number, number>;
  count: Call<Count, string, number>;
  fill: Call<number, Float32Array, Float32Array>;
  wait: Call<undefined>;
  unclonable: Call<undefined, void, () => void>;
}

/** Delivers messages both ways until nothing moves any more. */
async function settle({ deliver }: ReturnType<typeof portPair>): Promise<void> {
  for (let quiet = 0; quiet < 4; quiet++) {
    while (deliver('server') || deliver('caller')) quiet = 0;
    await yieldToEventLoop();
  }
}

/** Two connected ends. `made` counts the events that each call has made, `working` the calls under way. */
function connected() {
  const pair = portPair();
  const made = new Map<number, number>();
  const working = new Set<number>();
  const served = serve<TestCalls>(pair.server, {
    double: async (value) => {
      if (value < 0) throw new ArgumentError('must not be negative');
      return 2 * value;
    },
    async *count({ call, events, fails }) {
      working.add(call);
      try {
        for (let i = 0; i < events; i++) {
          made.set(call, i + 1);
          yield i;
        }
        if (fails) throw new ArgumentError(`call ${call} fails`);
        return `call ${call}`;
      } finally {
        working.delete(call);
      }
    },
    async *fill(size) {
      const event = new Float32Array(size).fill(1);
      yield transferred(event, [event, event]);
      const result = new Float32Array(event.length); // moved away
      return transferred(result, [result]);
    },
    wait: (_, signal) =>
      new Promise((_, reject) => signal.addEventListener('abort', () => reject(signal.reason))),
    async *unclonable() {
      yield () => {};
    },
  });
  const remote = connect<TestCalls>(pair.caller);
  return { pair, remote, served, made, working };
}

describe('a call', () => {
  it('returns the result, or throws what the other end threw', async () => {
    const { pair, remote } = connected();
    const calls = [2, -1, 4].map((value) => remote.call('double', value));
    const ended = Promise.allSettled(calls);
    await settle(pair);
    const [first, second, third] = await ended;
    expect([first, third]).toMatchObject([{ value: 4 }, { value: 8 }]);
    expect(second).toMatchObject({ reason: { name: 'ArgumentError', message: 'must not be negative' } });
  });

  it('gets events on the way', async () => {
    const { pair, remote } = connected();
    const events: number[] = [];
    const given = { call: 0, events: 9, fails: false };
    const result = remote.call('count', given, { onEvent: (event) => events.push(event), unread: 2 });
    await settle(pair);
    expect(await result).toBe('call 0');
    expect(events).toEqual([0, 1, 2, 3, 4, 5, 6, 7, 8]);
  });

  it('fails with the reason at once when it is aborted, and stops the work', async () => {
    const { pair, remote, served } = connected();
    const controller = new AbortController();
    const result = remote.call('wait', undefined, { signal: controller.signal });
    controller.abort(new Error('enough'));
    await expect(result).rejects.toThrow('enough');
    await expect(remote.call('double', 1, { signal: controller.signal })).rejects.toThrow('enough');
    await settle(pair);
    pair.kill('caller');
    await served;
  });

  it('fails when what it sends or is sent cannot be copied', async () => {
    const { pair, remote } = connected();
    await expect(remote.call('double', (() => {}) as never)).rejects.toThrow('could not be cloned');
    const result = remote.call('unclonable', undefined);
    const ended = expect(result).rejects.toThrow('could not be cloned');
    await settle(pair);
    await ended;
  });

  it('moves arrays that are transferred', async () => {
    const { pair, remote } = connected();
    const events: number[] = [];
    const result = remote.call('fill', 3, { onEvent: (event) => events.push(...event) });
    await settle(pair);
    expect([events, await result]).toEqual([[1, 1, 1], new Float32Array()]);
  });

  it('fails when the other end dies, and so do all later ones', async () => {
    const { pair, remote } = connected();
    const result = remote.call('wait', undefined);
    expect(remote.alive).toBe(true);
    pair.kill('server');
    await expect(result).rejects.toThrow('the server died');
    await expect(remote.call('double', 1)).rejects.toThrow('the server died');
    expect(remote.alive).toBe(false);
  });

  it('fails when its own end disposes of the other, which ends its work', async () => {
    const { pair, remote, served } = connected();
    const result = remote.call('wait', undefined);
    const failed = expect(result).rejects.toThrow(new DeviceError('the other end has ended'));
    await settle(pair);
    await Promise.all([remote.dispose(), remote.dispose()]);
    await remote.dispose();
    await failed;
    await served;
  });
});

const ACTIONS = ['read', 'deliver to server', 'deliver to caller', 'abort', 'leave', 'start'] as const;

const scripts = fc.record({
  calls: fc.array(
    fc.record({
      events: fc.nat({ max: 12 }),
      fails: fc.boolean(),
      unread: fc.integer({ min: 1, max: 5 }),
    }),
    { minLength: 1, maxLength: 4 },
  ),
  actions: fc.array(fc.tuple(fc.constantFrom(...ACTIONS), fc.nat({ max: 3 })), { maxLength: 80 }),
  dies: fc.constantFrom('nobody', 'caller', 'server'),
});

/** A call as a property test follows it. */
class Follower {
  readonly events: number[] = [];
  readonly reads: Promise<void>[] = [];
  readonly controller = new AbortController();
  readonly expected: Count;
  readonly unread: number;
  readonly #stream: AsyncGenerator<number, string, void>;
  /** How it ended for the reader. */
  ending: string | undefined;
  /** Set when the test stops it. */
  stopped: 'aborted' | 'left' | undefined;

  constructor(remote: ReturnType<typeof connected>['remote'], expected: Count, unread: number) {
    this.expected = expected;
    this.unread = unread;
    this.#stream = remote.stream('count', expected, { signal: this.controller.signal, unread });
  }

  read(): void {
    const next = this.#stream.next().then(
      ({ done, value }) => {
        if (!done) this.events.push(value);
        else if (this.stopped !== 'left') this.ending ??= value;
      },
      (error) => {
        this.ending ??= (error as Error).message;
      },
    );
    this.reads.push(next);
  }

  abort(): void {
    if (this.ending === undefined) this.stopped ??= 'aborted';
    this.controller.abort(new Error('aborted'));
  }

  leave(): void {
    if (this.ending === undefined) this.stopped ??= 'left';
    this.reads.push(this.#stream.return('left').then(() => {}));
  }

  /** Checks what was read. @param died whether an end died before everything was read */
  check(died: boolean): void {
    const { call, events, fails } = this.expected;
    const whole = fails ? `call ${call} fails` : `call ${call}`;
    expect(this.events).toEqual(this.events.map((_, i) => i));
    if (!this.stopped && !died) {
      expect(this.events).toHaveLength(events);
      expect(this.ending).toBe(whole);
    } else {
      const allowed = [undefined, whole, 'aborted', 'the server died', 'the other end has ended'];
      expect(allowed).toContain(this.ending);
    }
  }
}

describe('calls at once', () => {
  it('each give their own events in order, within their backpressure, and end, however they are interleaved', async () => {
    await fc.assert(
      fc.asyncProperty(scripts, async ({ calls, actions, dies }) => {
        const { pair, remote, served, made, working } = connected();
        const followers = calls.map(
          ({ events, fails, unread }, call) => new Follower(remote, { call, events, fails }, unread),
        );
        for (const [action, index] of actions) {
          const follower = followers[index % followers.length];
          if (!follower) continue;
          if (action === 'deliver to server') pair.deliver('server');
          else if (action === 'deliver to caller') pair.deliver('caller');
          else if (action === 'abort') follower.abort();
          else if (action === 'leave') follower.leave();
          else follower.read();
          await yieldToEventLoop();
          for (const { expected, events, unread } of followers) {
            expect((made.get(expected.call) ?? 0) - events.length).toBeLessThanOrEqual(unread);
          }
        }
        if (dies === 'server') pair.kill('server');
        if (dies === 'caller') await remote.dispose();
        for (const follower of followers) {
          for (let i = 0; i <= follower.expected.events; i++) follower.read();
        }
        await settle(pair);
        await Promise.all(followers.flatMap(({ reads }) => reads));
        for (const follower of followers) follower.check(dies !== 'nobody');
        // Nothing is left at work for calls that ended, were stopped, or lost their caller.
        if (dies === 'caller') await served;
        if (dies !== 'server') expect([...working]).toEqual([]);
      }),
      { numRuns: 300 },
    );
  });
});
