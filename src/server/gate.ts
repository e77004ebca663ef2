/** @file Limits how many samples are made at once; later requests wait in a bounded queue, first come, first served. */

import { ApiError } from '../errors.ts';

/** The sizes of a gate. */
export interface GateOptions {
  /** Samples that are made at once. */
  readonly seats: number;
  /** Max requests that wait. */
  readonly waiting: number;
}

interface Waiting {
  readonly samples: number;
  admit(): void;
  readonly onWait: ((ahead: number) => void) | undefined;
}

/** The weight of the latest request in the mean time that a request takes. */
const NEWEST = 0.2;
/** Max seconds after which a client is asked to retry. */
const MAX_RETRY = 600;

/** Makes a gate with all its seats free. */
export function createGate(options: GateOptions): Gate {
  return new Gate(options);
}

/** Admits requests in turn, as long as there are free seats. */
export class Gate {
  readonly #options: GateOptions;
  readonly #queue: Waiting[] = [];
  #busy = 0;
  /** Seconds that a request takes, as a moving average. */
  #seconds = 1;

  constructor(options: GateOptions) {
    this.#options = options;
  }

  /** Requests that wait. */
  get depth(): number {
    return this.#queue.length;
  }

  /** Samples that are being made. */
  get busy(): number {
    return this.#busy;
  }

  get options(): GateOptions {
    return this.#options;
  }

  /** Whether a request for one sample would be let in, at once or to wait. */
  get hasRoom(): boolean {
    return this.depth < this.#options.waiting || (this.depth === 0 && this.#areFree(1));
  }

  /**
   * Waits for `requested` seats; a request for more than exist gets all of them.
   * @param onWait called with the number of requests before this one, when it has to wait and whenever that changes
   * @returns once it is the request's turn, a function that gives the seats back; calling it again does nothing. Rejects
   * with the signal's reason once that is aborted
   * @throws {ApiError} at once: 429 if too many wait already
   * @throws the signal's reason, if it is aborted already
   */
  enter(requested: number, signal: AbortSignal, onWait?: (ahead: number) => void): Promise<() => void> {
    signal.throwIfAborted();
    const samples = Math.min(requested, this.#options.seats);
    if (this.depth === 0 && this.#areFree(samples)) return Promise.resolve(this.#occupy(samples));
    if (this.depth >= this.#options.waiting) {
      const message = `${this.depth} requests wait for this model already; try again later`;
      throw new ApiError(429, 'queue_full', message, { retryAfter: this.#retryAfter() });
    }
    return this.#wait(samples, signal, onWait);
  }

  #areFree(samples: number): boolean {
    return this.#busy + samples <= this.#options.seats;
  }

  /** Gives a request its seats; returns what gives them back. */
  #occupy(samples: number): () => void {
    this.#busy += samples;
    const started = performance.now();
    let left = false;
    return () => {
      if (left) return;
      left = true;
      this.#busy -= samples;
      this.#seconds += NEWEST * ((performance.now() - started) / 1000 - this.#seconds);
      this.#admitNext();
    };
  }

  #wait(samples: number, signal: AbortSignal, onWait: Waiting['onWait']): Promise<() => void> {
    return new Promise((resolve, reject) => {
      const leave = (): void => {
        const index = this.#queue.indexOf(entry);
        if (index >= 0) this.#queue.splice(index, 1);
        reject(signal.reason);
        this.#admitNext();
      };
      const admit = (): void => {
        signal.removeEventListener('abort', leave);
        resolve(this.#occupy(samples));
      };
      const entry: Waiting = { samples, admit, onWait };
      signal.addEventListener('abort', leave, { once: true });
      this.#queue.push(entry);
      onWait?.(this.depth - 1);
    });
  }

  #admitNext(): void {
    for (let [first] = this.#queue; first && this.#areFree(first.samples); [first] = this.#queue) {
      this.#queue.shift();
      first.admit();
    }
    for (const [ahead, { onWait }] of this.#queue.entries()) onWait?.(ahead);
  }

  /** Returns whole seconds until a place in the queue may be free. */
  #retryAfter(): number {
    return Math.min(MAX_RETRY, Math.max(1, Math.ceil((this.#seconds * this.depth) / this.#options.seats)));
  }
}
