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

const UNREAD = 64;

/** Connects to an end that serves calls. */
export function connect<C extends Calls<C>>(port: OwnerPort): Remote<C> {
  return new Remote(port);
}

/** The other end of a connection, as the caller sees it. Any number of calls may run at once. */
export class Remote<C extends Calls<C>> {
  readonly #port: OwnerPort;
  /** Answers of the calls that have not ended, by number. */
  readonly #open = new Map<number, Channel<unknown, unknown>>();
  #latest = 0;
  /** Why no more calls can be made. */
  #failure: Error | undefined;
  #closed: Promise<void> | undefined;

  constructor(port: OwnerPort) {
    this.#port = port;
    port.listen(
      (message) => this.#receive(message as FromServer),
      (error) => this.#fail(error),
    );
  }

  /** Whether the other end is running. */
  get alive(): boolean {
    return this.#failure === undefined;
  }

  /**
   * Calls, and returns the events as they come, then the result. The work stops when they are no longer read.
   * @throws what the other end threw, as an instance of the same class of `errors.ts`
   * @throws {DeviceError} if the other end has ended
   */
  async *stream<Name extends keyof C & string>(
    name: Name,
    given: C[Name]['given'],
    { signal, unread = UNREAD }: CallOptions = {},
  ): AsyncGenerator<C[Name]['event'], C[Name]['result'], void> {
    signal?.throwIfAborted();
    if (this.#failure) throw this.#failure;
    const id = ++this.#latest;
    const answer = createChannel<unknown, unknown>();
    const stop = (): void => {
      answer.fail(signal?.reason);
      if (this.#open.delete(id)) this.#send({ kind: 'stop', id });
      this.#rest();
    };
    signal?.addEventListener('abort', stop, { once: true });
    this.#open.set(id, answer);
    this.#port.keepAlive?.(true);
    const readAtOnce = Math.ceil(unread / 4);
    let read = 0;
    try {
      this.#send({ kind: 'call', id, name, given, unread });
      const events = answer[Symbol.asyncIterator]();
      for (;;) {
        const { done, value } = await events.next();
        signal?.throwIfAborted();
        if (done) return value;
        if (++read % readAtOnce === 0) this.#send({ kind: 'read', id, count: readAtOnce });
        yield value as C[Name]['event'];
      }
    } finally {
      signal?.removeEventListener('abort', stop);
      stop();
    }
  }

  /** Calls, and returns the result. Throws as `stream` does. */
  async call<Name extends keyof C & string>(
    name: Name,
    given: C[Name]['given'],
    {
      onEvent,
      ...options
    }: CallOptions & { readonly onEvent?: ((event: C[Name]['event']) => void) | undefined } = {},
  ): Promise<C[Name]['result']> {
    const answer = this.stream(name, given, options);
    for (;;) {
      const { done, value } = await answer.next();
      if (done) return value;
      onEvent?.(value);
    }
  }

  /** Ends the other end; open calls fail. Resolves when it has ended. */
  dispose(): Promise<void> {
    this.#fail(new DeviceError(`${this.#port.name} has ended`));
    this.#closed ??= this.#port.close();
    return this.#closed;
  }

  #send(message: ToServer): void {
    this.#port.send(message);
  }

  /** Without open calls, the other end does not keep this process alive. */
  #rest(): void {
    if (this.#open.size === 0 && this.alive) this.#port.keepAlive?.(false);
  }

  #receive(message: FromServer): void {
    const answer = this.#open.get(message.id);
    if (!answer) return; // the call was stopped
    if (message.kind === 'event') return void answer.push(message.event);
    this.#open.delete(message.id);
    if (message.kind === 'result') answer.end(message.result);
    else answer.fail(reviveError(message.error));
  }

  #fail(error: Error): void {
    this.#failure ??= error;
    for (const answer of this.#open.values()) answer.fail(this.#failure);
    this.#open.clear();
  }
}
