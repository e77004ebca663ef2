/**
 * @file Continuous batching: requests that are sampled at the same time go through the model together, whatever their
 * blocks and steps. Each runs its own loop; when it needs the model, it waits for the next pass, which takes all that
 * wait. So a new request joins at the next step, and one that ends leaves no gap.
 */

import { at } from '../at.ts';
import { yieldToEventLoop } from '../event-loop.ts';
import type { AcditConfig } from '../models/acdit/config.ts';
import type { Device } from '../runtime/device.ts';
import { rowBytes } from './memory.ts';
import { type PassEngine, type PassResult, rowCount, type Sequence } from './pass-engine.ts';

/** What a pass was. */
export interface PassInfo {
  /** Requests in it. */
  readonly sequences: number;
  /** Its rows: blocks in it, counting each sample and guidance branch. */
  readonly groups: number;
  readonly seconds: number;
}

/** How requests share passes. */
export interface BatchingOptions {
  /**
   * Max rows per pass: memory grows with them. A single request with more goes alone. Default: as many as add
   * little memory; on a GPU requests take turns.
   */
  readonly groups?: number | undefined;
  /** Gets each pass after it was made. */
  readonly onPass?: ((pass: PassInfo) => void) | undefined;
}

/** Defaults: bytes of hidden vectors that calls may add by sharing passes, and max rows per pass. */
const SHARED_BYTES = 256e6;
const SHARED_ROWS = 64;

/**
 * Returns the default rows per pass. On a device with separate memory, the pass of one call is one program and goes
 * alone.
 */
export function sharedRows({ separateMemory }: Device, config: AcditConfig): number {
  if (separateMemory) return 1;
  return Math.min(SHARED_ROWS, Math.max(1, Math.floor(SHARED_BYTES / rowBytes(config))));
}

/** A call that waits for a pass. */
interface Waiting {
  readonly sequence: Sequence;
  readonly signal: AbortSignal | undefined;
  resolve(result: PassResult): void;
  reject(error: unknown): void;
}

/**
 * The calls that wait for a pass. If a pass of several would round differently from a pass of one, they take turns, so
 * each call gets the same bits as alone.
 */
export class PassQueue {
  readonly #engine: PassEngine;
  readonly #maxRows: number;
  readonly #onPass: BatchingOptions['onPass'];
  readonly #waiting: Waiting[] = [];
  #running = false;

  constructor(engine: PassEngine, maxRows: number, onPass?: BatchingOptions['onPass']) {
    this.#engine = engine;
    this.#maxRows = maxRows;
    this.#onPass = onPass;
  }

  /** Runs a sequence in the next pass that has room for it. @throws the signal's reason once it is aborted */
  run(sequence: Sequence, signal: AbortSignal | undefined): Promise<PassResult> {
    return new Promise((resolve, reject) => {
      this.#waiting.push({ sequence, signal, resolve, reject });
      if (!this.#running) void this.#runAll();
    });
  }

  async #runAll(): Promise<void> {
    this.#running = true;
    while (this.#waiting.length > 0) {
      // Requests of the last pass queue their next step now, and new requests come in.
      await yieldToEventLoop();
      const batch = this.#takeBatch();
      try {
        const shares =
          batch.length > 1 && (await this.#engine.mayShare(batch.map(({ sequence }) => sequence)));
        if (!shares) this.#waiting.unshift(...batch.splice(1));
        if (batch.length > 0) await this.#runPass(batch);
      } catch (error) {
        for (const { signal, reject } of batch) reject(signal?.aborted ? signal.reason : error);
      }
    }
    this.#running = false;
  }

  /** Takes the first calls that fit from the queue, at least one. Aborted calls are dropped. */
  #takeBatch(): Waiting[] {
    const batch: Waiting[] = [];
    for (let next = this.#waiting[0]; next; next = this.#waiting[0]) {
      if (next.signal?.aborted) next.reject(next.signal.reason);
      else if (batch.length > 0 && rowsOfCalls([...batch, next]) > this.#maxRows) break;
      else batch.push(next);
      this.#waiting.shift();
    }
    return batch;
  }

  async #runPass(batch: readonly Waiting[]): Promise<void> {
    const started = performance.now();
    const results = await this.#engine.run(
      batch.map(({ sequence }) => sequence),
      () => stopIfUnwanted(batch),
    );
    const seconds = (performance.now() - started) / 1000;
    this.#onPass?.({ sequences: batch.length, groups: rowsOfCalls(batch), seconds });
    for (const [i, { resolve }] of batch.entries()) resolve(at(results, i));
  }
}

/** @throws the reason of a signal, once every call of the batch is aborted */
function stopIfUnwanted(batch: readonly Waiting[]): void {
  if (batch.every(({ signal }) => signal?.aborted)) at(batch, 0).signal?.throwIfAborted();
}

function rowsOfCalls(batch: readonly Waiting[]): number {
  return batch.reduce((sum, { sequence }) => sum + rowCount(sequence), 0);
}
