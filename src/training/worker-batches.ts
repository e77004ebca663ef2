/**
 * @file Batches made in a worker thread. A graphics card takes a small model's step in less time than a thread needs to
 * read and noise its batch, and ONNX Runtime holds up the thread that waits for it.
 */

import { once } from 'node:events';
import { setTimeout as sleep } from 'node:timers/promises';
import { Worker } from 'node:worker_threads';
import { AcditError, DatasetError } from '../errors.ts';
import type { NoisedBatch } from './gradient-pass.ts';
import type { BatchesStart } from './noised-batches.ts';
import type { Recipe } from './recipe.ts';

/** What the worker is started with. */
export interface BatchWork {
  readonly recipe: Recipe;
  readonly start: BatchesStart;
}

/** A request to the worker: a batch, or to end. */
export type BatchRequest = 'next' | 'stop';

/** What it sends. */
export type BatchWorkerMessage =
  | { readonly kind: 'batch'; readonly batch: NoisedBatch; readonly corruptCount: number }
  | { readonly kind: 'warning'; readonly message: string }
  | { readonly kind: 'failure'; readonly message: string; readonly expected: boolean };

/** Told of what the worker comes across. */
export interface BatchWorkerHooks {
  /** A file is left out. */
  onWarning?(message: string): void;
  /** Samples found corrupt so far. */
  onCorruptCount?(count: number): void;
}

/** Batches that are asked for before they are needed. */
const AHEAD = 3;
/**
 * Milliseconds for the worker to end gracefully. It does not run ONNX Runtime, so after that it can be terminated at any
 * moment.
 */
const PATIENCE = 5000;

/** The worker's program, as source or compiled like this file. */
const PROGRAM = new URL(
  import.meta.url.endsWith('.ts') ? './batch-worker.ts' : './batch-worker.js',
  import.meta.url,
);

/**
 * The recipe's micro-batches from `start` on, without end, the very ones of `noisedBatches`.
 * @throws {DatasetError} if too few samples can be read.
 */
export async function* workerBatches(
  recipe: Recipe,
  { step, position }: BatchesStart,
  hooks: BatchWorkerHooks = {},
): AsyncGenerator<NoisedBatch, void, void> {
  const work: BatchWork = { recipe, start: { step, position } };
  const worker = new Worker(PROGRAM, { workerData: work });
  const arrived: (NoisedBatch | Error)[] = [];
  let wake = (): void => {};
  const take = (result: NoisedBatch | Error): void => {
    arrived.push(result);
    wake();
  };
  worker.on('message', (message: BatchWorkerMessage) => {
    if (message.kind === 'warning') hooks.onWarning?.(message.message);
    else if (message.kind === 'failure') take(failureOf(message));
    else {
      hooks.onCorruptCount?.(message.corruptCount);
      take(message.batch);
    }
  });
  worker.on('error', take);
  worker.on('exit', (code) =>
    take(new AcditError(`the worker that makes batches ended before its work (exit code ${code})`)),
  );
  try {
    for (let i = 0; i < AHEAD; i++) ask(worker, 'next');
    while (true) {
      while (arrived.length === 0) await new Promise<void>((resolve) => (wake = resolve));
      const result = arrived.shift()!;
      if (result instanceof Error) throw result;
      ask(worker, 'next');
      yield result;
    }
  } finally {
    await stop(worker);
  }
}

function ask(worker: Worker, request: BatchRequest): void {
  worker.postMessage(request);
}

/** Lets the worker close its files and end, so that native code is not interrupted. */
async function stop(worker: Worker): Promise<void> {
  worker.removeAllListeners();
  worker.on('error', () => {}); // nobody waits for its work any more
  if (worker.threadId < 0) return; // it has ended
  const ended = once(worker, 'exit');
  ask(worker, 'stop');
  const impatience = new AbortController();
  const late = sleep(PATIENCE, 'late', { signal: impatience.signal }).catch(() => undefined);
  if ((await Promise.race([ended, late])) === 'late') await worker.terminate();
  impatience.abort();
}

function failureOf({ message, expected }: Extract<BatchWorkerMessage, { kind: 'failure' }>): Error {
  return expected ? new DatasetError(message) : new Error(message);
}
