/** @file The program of the worker that makes batches. See worker-batches.ts. */

import { openDataset } from '../data/open.ts';
import { serveWorkerThread } from '../remote/node.ts';
import { transferred } from '../remote/serve.ts';
import { noisedBatches } from './noising.ts';
import { recipeModel } from './recipe.ts';
import type { BatchCalls } from './worker-batches.ts';

serveWorkerThread<BatchCalls>({
  async *batches({ recipe, start, share }, signal) {
    const warnings: string[] = [];
    function* reported() {
      for (const message of warnings.splice(0)) yield { kind: 'warning', message } as const;
    }
    const dataset = await openDataset({ ...recipe.data, warn: (message) => warnings.push(message) });
    warnings.length = 0; // they were reported when the run began
    try {
      const config = recipeModel(recipe, dataset);
      for await (const batch of noisedBatches({
        recipe,
        config,
        dataset,
        start,
        signal,
        ...(share && { share }),
      })) {
        yield* reported();
        const { corruptCount } = dataset;
        const { clean, noised, target } = batch;
        yield transferred({ kind: 'batch', batch, corruptCount }, [clean.data, noised.data, target.data]);
      }
    } catch (error) {
      yield* reported();
      throw error;
    } finally {
      await dataset.close?.();
    }
  },
});
