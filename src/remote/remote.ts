/** @file The end that calls. */

import { DeviceError } from '../errors.ts';
import { type Channel, createChannel } from './channel.ts';
import { reviveError } from './errors.ts';
import type { Calls, FromServer, OwnerPort, ToServer } from './protocol.ts';

/** How to call. */
export interface CallOptions {
  /** Stops the call; it then fails with the signal's reason at once. */
  readonly signal?: AbortSignal | undefined;
  /** Max events that may be on their way or unread: then the other end waits (default: 64). */
  readonly unread?: number;
}

/** The other end of a connection, as the caller sees it. Any number of calls may run at once. */
export interface Remote<C extends Calls<C>> {
  /** Whether the other end is running. */
  readonly alive: boolean;
  /**
   * Calls, and returns the events as they come, then the result. The work stops when they are no longer read.
   * @throws what the other end threw, as an instance of the same class of `errors.ts`
   * @throws {DeviceError} if the other end has ended
   */
  stream<Name extends keyof C & string>(
    name: Name,
    given: C[Name]['given'],
    options?: CallOptions,
  ): AsyncGenerator<C[Name]['event'], C[Name]['result'], void>;
  /** Calls, and returns the result. Throws as `stream` does. */
  call<Name extends keyof C & string>(
    name: Name,
    given: C[Name]['given'],
    options?: CallOptions & { readonly onEvent?: ((event: C[Name]['event']) => void) | undefined },
  ): Promise<C[Name]['result']>;
  /** Ends the other end; open calls fail. Resolves when it has ended. */
  dispose(): Promise<void>;
}

const UNREAD = 64;

/** Connects to an end that serves calls. */
export function connect<C extends Calls<C>>(port: OwnerPort): Remote<C> {
  const open = new Map<number, Channel<unknown, unknown>>();
  let latest = 0;
  let failure: Error | undefined;
  const send = (message: ToServer): void => port.send(message);

  function fail(error: Error): void {
    failure ??= error;
    for (const answer of open.values()) answer.fail(failure);
    open.clear();
  }

  port.listen((received) => {
    const message = received as FromServer;
    const answer = open.get(message.id);
    if (!answer) return; // the call was stopped
    if (message.kind === 'event') return void answer.push(message.event);
    open.delete(message.id);
    if (message.kind === 'result') answer.end(message.result);
    else answer.fail(reviveError(message.error));
  }, fail);

  async function* stream(
    name: string,
    given: unknown,
    { signal, unread = UNREAD }: CallOptions = {},
  ): AsyncGenerator<unknown, unknown, void> {
    signal?.throwIfAborted();
    if (failure) throw failure;
    const id = ++latest;
    const answer = createChannel<unknown, unknown>();
    const stop = (): void => {
      answer.fail(signal?.reason);
      if (open.delete(id)) send({ kind: 'stop', id });
    };
    signal?.addEventListener('abort', stop, { once: true });
    open.set(id, answer);
    const readAtOnce = Math.ceil(unread / 4);
    let read = 0;
    try {
      send({ kind: 'call', id, name, given, unread });
      const events = answer[Symbol.asyncIterator]();
      for (;;) {
        const { done, value } = await events.next();
        signal?.throwIfAborted();
        if (done) return value;
        if (++read % readAtOnce === 0) send({ kind: 'read', id, count: readAtOnce });
        yield value;
      }
    } finally {
      signal?.removeEventListener('abort', stop);
      stop();
    }
  }

  let ended: Promise<void> | undefined;
  return {
    get alive() {
      return failure === undefined;
    },
    stream,
    async call(name, given, { onEvent, ...options } = {}) {
      const answer = stream(name, given, options);
      for (;;) {
        const { done, value } = await answer.next();
        if (done) return value;
        onEvent?.(value);
      }
    },
    dispose() {
      fail(new DeviceError(`${port.name} has ended`));
      ended ??= port.close();
      return ended;
    },
  };
}
