/**
 * @file Batches made in a worker thread. A GPU takes a small model's step in less time than a thread needs to
 * read and noise its batch, and ONNX Runtime holds up the thread that waits for it.
 */

import { programBeside, startWorkerThread } from '../remote/node.ts';
import type { Call } from '../remote/protocol.ts';
import { connect } from '../remote/remote.ts';
import type { NoisedBatch } from './gradient-pass.ts';
import type { BatchesStart, BatchShare } from './noising.ts';
import type { Recipe } from './recipe.ts';

/** What the worker sends. */
export type BatchWorkerEvent =
  | { readonly kind: 'batch'; readonly batch: NoisedBatch; readonly corruptCount: number }
  | { readonly kind: 'warning'; readonly message: string };

/** The calls that the worker answers. */
export interface BatchCalls {
  /** Makes the recipe's micro-batches without end. */
  batches: Call<
    { readonly recipe: Recipe; readonly start: BatchesStart; readonly share?: BatchShare | undefined },
    void,
    BatchWorkerEvent
  >;
}

/** Told of what the worker comes across. */
export interface BatchWorkerHooks {
  /** A file is left out. */
  onWarning?(message: string): void;
  /** Samples found corrupt so far. */
  onCorruptCount?(count: number): void;
}

/** Batches that are made before they are needed. */
const AHEAD = 3;

/**
 * The recipe's micro-batches from `start` on, without end, the very ones of `noisedBatches`.
 * @throws {DatasetError} if too few samples can be read.
 */
export async function* workerBatches(
  recipe: Recipe,
  { step, position }: BatchesStart,
  hooks: BatchWorkerHooks = {},
  share?: BatchShare,
): AsyncGenerator<NoisedBatch, void, void> {
  const program = programBeside(import.meta.url, 'batch-worker');
  const worker = connect<BatchCalls>(startWorkerThread(program, 'the worker that makes batches'));
  try {
    const given = { recipe, start: { step, position }, share };
    for await (const event of worker.stream('batches', given, { unread: AHEAD })) {
      if (event.kind === 'warning') hooks.onWarning?.(event.message);
      else {
        hooks.onCorruptCount?.(event.corruptCount);
        yield event.batch;
      }
    }
  } finally {
    await worker.dispose();
  }
}
