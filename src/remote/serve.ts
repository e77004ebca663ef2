/** @file The end that answers calls. */

import { yieldToEventLoop } from '../event-loop.ts';
import { encodeError } from './errors.ts';
import type { Calls, FromServer, Port, ToServer } from './protocol.ts';

/** A value, and the memory that goes with it. Made by {@link transferred}. */
export class Transferred<T> {
  readonly value: T;
  readonly buffers: readonly ArrayBuffer[];

  constructor(value: T, buffers: readonly ArrayBuffer[]) {
    this.value = value;
    this.buffers = buffers;
  }
}

/**
 * Marks the arrays of a value as no longer needed at this end. Between threads their whole buffers move, except shared
 * memory; between processes they are copied.
 */
export function transferred<T>(value: T, arrays: readonly ArrayBufferView[]): Transferred<T> {
  const all = new Set(arrays.map(({ buffer }) => buffer));
  const buffers = [...all].filter((buffer) => buffer instanceof ArrayBuffer);
  return new Transferred(value, buffers);
}

/** What a call answers: a promise of its result, or events that end with it. */
type Answer<Event, Result> =
  | Promise<Result | Transferred<Result>>
  | AsyncGenerator<Event | Transferred<Event>, Result | Transferred<Result>, void>;

/**
 * The functions that answer the calls. A signal aborts when the caller stops the call or has ended: the function should
 * then end soon, and need not answer.
 */
export type Handlers<C extends Calls<C>> = {
  readonly [Name in keyof C]: (
    given: C[Name]['given'],
    signal: AbortSignal,
  ) => Answer<C[Name]['event'], C[Name]['result']>;
};

interface Running {
  readonly controller: AbortController;
  readonly window: ReturnType<typeof createWindow>;
  readonly ended: Promise<void>;
}

/** Answers calls until the other end has ended and all calls have. */
export function serve<C extends Calls<C>>(port: Port, handlers: Handlers<C>): Promise<void> {
  const running = new Map<number, Running>();

  function begin(message: ToServer & { kind: 'call' }): void {
    const { id, unread } = message;
    const controller = new AbortController();
    const window = createWindow(unread);
    const handler = handlers[message.name as keyof C];
    const onEvent = (event: unknown): Promise<void> => {
      send(port, event, (event) => ({ kind: 'event', id, event }));
      return window.sent();
    };
    const ended = relay(() => handler(message.given, controller.signal), onEvent, controller.signal)
      .then((result) => send(port, result, (result) => ({ kind: 'result', id, result })))
      .catch((error) => {
        if (controller.signal.aborted) return; // nobody waits for it
        send(port, undefined, () => ({ kind: 'error', id, error: encodeError(error) }));
      })
      .finally(() => running.delete(id));
    running.set(id, { controller, window, ended });
  }

  function stop({ controller, window }: Running): void {
    controller.abort(new Error('the caller stopped the call'));
    window.read(Number.POSITIVE_INFINITY);
  }

  return new Promise((resolve) => {
    port.listen(
      (received) => {
        const message = received as ToServer;
        if (message.kind === 'call') return begin(message);
        const call = running.get(message.id);
        if (!call) return; // it has ended
        if (message.kind === 'read') call.window.read(message.count);
        else stop(call);
      },
      async () => {
        const calls = [...running.values()];
        calls.forEach(stop);
        await Promise.all(calls.map(({ ended }) => ended));
        resolve();
      },
    );
  });
}

/** Passes an answer's events on, one after the other, and returns its result. */
async function relay(
  begin: () => Answer<unknown, unknown>,
  onEvent: (event: unknown) => Promise<void>,
  signal: AbortSignal,
): Promise<unknown> {
  const answer = begin();
  if (!(Symbol.asyncIterator in answer)) return answer;
  try {
    for (;;) {
      const { done, value } = await answer.next();
      signal.throwIfAborted();
      if (done) return value;
      await onEvent(value);
      await yieldToEventLoop(); // so that messages come in
      signal.throwIfAborted();
    }
  } finally {
    await answer.return(undefined);
  }
}

function send(port: Port, given: unknown, messageOf: (value: unknown) => FromServer): void {
  if (given instanceof Transferred) port.send(messageOf(given.value), given.buffers);
  else port.send(messageOf(given));
}

/** Backpressure: limits how many events may be sent before the other end has read them. */
function createWindow(size: number) {
  let unread = 0;
  let wake = (): void => {};
  return {
    /** Counts an event. Resolves when there may be another one. */
    async sent(): Promise<void> {
      unread++;
      while (unread >= size) await new Promise<void>((resolve) => (wake = resolve));
    },
    read(count: number): void {
      unread -= count;
      wake();
    },
  };
}
