/** @file Sampling any number of samples in batches, each from noise of its own, so that batches change no picture. */

import type { SolverName } from '../diffusion/solvers/index.ts';
import { type AcditConfig, tokenSize } from '../models/acdit/config.ts';
import { rowsOf } from '../models/acdit/weights.ts';
import type { SampleEvent, SampleRequest, Sampler } from '../sampling/sampler.ts';
import type { Tensor } from '../tensor/tensor.ts';
import type { Label } from './labels.ts';

export interface BatchedRequest {
  readonly labels: readonly Label[];
  readonly steps: number | readonly number[];
  readonly cfg: number | readonly number[];
  readonly solver: SolverName;
  readonly seed: number;
  /** Starting noise (N, T, B, C), instead of the seed's. */
  readonly noise?: Tensor<'float32'> | undefined;
  /** Samples at a time. */
  readonly batch: number;
}

/** Most bytes of keys and values that a batch caches by default. */
const CACHE_BYTES = 1e9;
const LARGEST_DEFAULT_BATCH = 16;

/** The shape (N, T, B, C) of the latents of `samples`. */
export function latentShape(config: AcditConfig, samples: number): number[] {
  return [samples, config.blocks, config.blockSize, tokenSize(config)];
}

/** As many samples as have a cache of at most a gigabyte, up to 16. */
export function defaultBatch({ layers, hidden, blocks, blockSize }: AcditConfig): number {
  const cacheBytes = 2 * 4 * layers * hidden * (blocks - 1) * blockSize;
  return Math.max(1, Math.min(LARGEST_DEFAULT_BATCH, Math.floor(CACHE_BYTES / Math.max(cacheBytes, 1))));
}

/** What `sampler.sample` is asked for the batch that starts at sample `first`. */
function batchRequest(request: BatchedRequest, first: number): SampleRequest {
  const { seed, batch, noise, steps, cfg, solver } = request;
  const labels = request.labels.slice(first, first + batch);
  return {
    labels,
    steps,
    cfg,
    solver,
    seed,
    first,
    ...(noise && { noise: rowsOf(noise, first, first + labels.length) }),
  };
}

/** Sample batch after batch; gives the latents (N, T, B, C) of each. */
export async function* sampleBatches(
  sampler: Sampler,
  request: BatchedRequest,
  { signal, onEvent }: { signal: AbortSignal; onEvent?: (event: SampleEvent, first: number) => void },
): AsyncGenerator<Tensor<'float32'>, void, void> {
  for (let first = 0; first < request.labels.length; first += request.batch) {
    for await (const event of sampler.sample({ ...batchRequest(request, first), signal })) {
      onEvent?.(event, first);
      if (event.kind === 'done') yield event.latents;
    }
  }
}
