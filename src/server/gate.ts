/** @file Limits how many samples are made at once; later requests wait in a bounded queue, first come, first served. */

import { ApiError } from '../errors.ts';

/** How many may work, and how many wait. */
export interface GateOptions {
  /** Samples that are worked on at once. */
  readonly seats: number;
  /** Requests that may wait. */
  readonly waiting: number;
}

/** Lets in as many requests as there are seats, in turn. */
export interface Gate {
  /**
   * Waits for `samples` seats; a request for more than exist gets all of them.
   * @param onWait called with the number of requests before this one, when it has to wait and whenever that changes
   * @returns once it is the request's turn, a function that gives the seats back; calling it again does nothing. Rejects
   * with the signal's reason once that is aborted
   * @throws {ApiError} at once: 429 if too many wait already
   * @throws the signal's reason, if it is aborted already
   */
  enter(samples: number, signal: AbortSignal, onWait?: (ahead: number) => void): Promise<() => void>;
  /** Requests that wait, and samples that are worked on. */
  readonly depth: number;
  readonly busy: number;
}

interface Waiting {
  readonly samples: number;
  admit(): void;
  onWait?: ((ahead: number) => void) | undefined;
}

/** How much the latest request weighs in the mean time that a request takes. */
const NEWEST = 0.2;
const LONGEST_RETRY = 600;

/** Make a gate with all its seats free. */
export function createGate({ seats, waiting: most }: GateOptions): Gate {
  const queue: Waiting[] = [];
  let busy = 0;
  /** Seconds that a request takes, as a moving average. */
  let seconds = 1;

  /** Give a request its seats. */
  function occupy(samples: number): () => void {
    busy += samples;
    const started = performance.now();
    let left = false;
    return () => {
      if (left) return;
      left = true;
      busy -= samples;
      seconds += NEWEST * ((performance.now() - started) / 1000 - seconds);
      admitNext();
    };
  }

  function admitNext(): void {
    for (let next = queue[0]; next && busy + next.samples <= seats; next = queue[0]) {
      queue.shift();
      next.admit();
    }
    for (const [ahead, { onWait }] of queue.entries()) onWait?.(ahead);
  }

  /** Whole seconds until a place in the queue may be free. */
  function retryAfter(): number {
    return Math.min(LONGEST_RETRY, Math.max(1, Math.ceil((seconds * queue.length) / seats)));
  }

  return {
    enter(requested, signal, onWait) {
      signal.throwIfAborted();
      const samples = Math.min(requested, seats);
      if (queue.length === 0 && busy + samples <= seats) return Promise.resolve(occupy(samples));
      if (queue.length >= most) {
        throw new ApiError(
          429,
          'queue_full',
          `${queue.length} requests wait for this model already; try again later`,
          { retryAfter: retryAfter() },
        );
      }
      return new Promise((resolve, reject) => {
        const give = (): void => {
          const index = queue.indexOf(entry);
          if (index >= 0) queue.splice(index, 1);
          reject(signal.reason);
          admitNext();
        };
        const entry: Waiting = {
          samples,
          onWait,
          admit() {
            signal.removeEventListener('abort', give);
            resolve(occupy(samples));
          },
        };
        signal.addEventListener('abort', give, { once: true });
        queue.push(entry);
        onWait?.(queue.length - 1);
      });
    },
    get depth() {
      return queue.length;
    },
    get busy() {
      return busy;
    },
  };
}
