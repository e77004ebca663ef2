/**
 * @file Calls between two threads or processes: each is answered by any number of events, then by its result or an error.
 * This is what the two ends agree on; `remote.ts` calls, and `serve.ts` answers.
 */

import type { EncodedError } from './errors.ts';

/** A call: what it is given, its result, and its events. All must be of the kinds that structured cloning copies. */
export interface Call<Given, Result = void, Event = never> {
  readonly given: Given;
  readonly result: Result;
  readonly event: Event;
}

/**
 * The calls that one end answers, by their names.
 *
 * @example
 * ```ts
 * interface DecodingCalls {
 *   decode: Call<Tensor<'float32'>, Image, number>;
 * }
 * ```
 */
export type Calls<C> = { [Name in keyof C]: Call<unknown, unknown, unknown> };

/** One end of a connection. Messages arrive whole and in order. */
export interface Port {
  /**
   * Sends a message; one that the other end no longer takes is dropped.
   * @param transfer buffers to move instead of copying them, where the transport can
   * @throws if the message cannot be copied
   */
  send(message: unknown, transfer?: readonly ArrayBuffer[]): void;
  /** Sets what gets the messages, and what is called when the other end has ended. */
  listen(onMessage: (message: unknown) => void, onEnd: (error: Error) => void): void;
}

/** The end that has started the other one. */
export interface OwnerPort extends Port {
  /** What the other end is called in messages, such as "the decoder". */
  readonly name: string;
  /** Asks the other end to end, and ends it by force if it does not. Resolves when it has ended. */
  close(): Promise<void>;
  /** Sets whether this process stays alive as long as the other end runs; at first it does. */
  keepAlive?(busy: boolean): void;
}

export type ToServer =
  | {
      readonly kind: 'call';
      readonly id: number;
      readonly name: string;
      readonly given: unknown;
      /** Max events that may be sent and not yet read. */
      readonly unread: number;
    }
  /** The number of further events that were read. */
  | { readonly kind: 'read'; readonly id: number; readonly count: number }
  | { readonly kind: 'stop'; readonly id: number };

export type FromServer =
  | { readonly kind: 'event'; readonly id: number; readonly event: unknown }
  | { readonly kind: 'result'; readonly id: number; readonly result: unknown }
  | { readonly kind: 'error'; readonly id: number; readonly error: EncodedError };
