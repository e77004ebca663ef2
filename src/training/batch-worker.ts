/** @file The worker that makes batches: see worker-batches.ts. It makes as many as are asked for. */

import { parentPort, workerData } from 'node:worker_threads';
import { openDataset } from '../data/open.ts';
import { AcditError } from '../errors.ts';
import { noisedBatches } from './noised-batches.ts';
import { recipeModel } from './recipe.ts';
import type { BatchRequest, BatchWork, BatchWorkerMessage } from './worker-batches.ts';

const { recipe, start } = workerData as BatchWork;

function send(message: BatchWorkerMessage, transferred: ArrayBuffer[] = []): void {
  parentPort!.postMessage(message, transferred);
}

/** Warnings about the data were already reported when the run began. */
let opened = false;
const dataset = await openDataset({
  ...recipe.data,
  warn: (message) => opened && send({ kind: 'warning', message }),
});
opened = true;
const source = noisedBatches({ recipe, config: recipeModel(recipe, dataset), dataset, start });

parentPort!.on('message', async (request: BatchRequest) => {
  if (request === 'stop') {
    await source.return(); // after the batch that is being made
    await dataset.close?.();
    parentPort!.close();
    return;
  }
  try {
    const { value: batch } = await source.next();
    if (!batch) return;
    const { clean, noised, noise } = batch;
    const buffers = [clean, noised, noise].map(({ data }) => data.buffer as ArrayBuffer);
    send({ kind: 'batch', batch, corruptCount: dataset.corruptCount }, buffers);
  } catch (error) {
    const expected = error instanceof AcditError;
    const { message, stack } = error as Error;
    send({ kind: 'failure', message: expected ? message : (stack ?? message), expected });
  }
});
