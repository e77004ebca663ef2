/** @file Sampling any number of samples in batches, each from noise of its own, so that batches change no picture. */

import type { SolverName } from '../diffusion/solvers/index.ts';
import { type AcditConfig, tokenSize } from '../models/acdit/config.ts';
import { rowsOf } from '../models/acdit/weights.ts';
import type { SampleRequest, Sampler } from '../sampling/sampler.ts';
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
  /** Finished blocks (1, K, B, C) that every sample goes on from. */
  readonly given?: Tensor<'float32'> | undefined;
  /** Blocks of a sample; the model's own by default. */
  readonly blocks?: number | undefined;
  /** Most finished blocks that are attended; by default all that the model was trained with. */
  readonly window?: number | undefined;
  /** Batch size. */
  readonly batch: number;
}

/** Most bytes of keys and values that a batch caches by default. */
const CACHE_BYTES = 1e9;
const LARGEST_DEFAULT_BATCH = 16;
/** Where only throughput counts. The bundled model: 221 ms of one core a sample at 1, 73 at 16, 69 at 32, 72 at 64. */
const LARGEST_THROUGHPUT_BATCH = 32;

/** The shape (N, T, B, C) of the latents of `samples`. */
export function latentShape(config: AcditConfig, samples: number, blocks = config.blocks): number[] {
  return [samples, blocks, config.blockSize, tokenSize(config)];
}

/** As many samples as have a cache of at most a gigabyte, up to 16, or up to 32 where nobody waits for the first. */
export function defaultBatch(
  { layers, hidden, blocks, blockSize }: AcditConfig,
  { throughput = false }: { readonly throughput?: boolean } = {},
): number {
  const cacheBytes = 2 * 4 * layers * hidden * (blocks - 1) * blockSize;
  const most = throughput ? LARGEST_THROUGHPUT_BATCH : LARGEST_DEFAULT_BATCH;
  return Math.max(1, Math.min(most, Math.floor(CACHE_BYTES / Math.max(cacheBytes, 1))));
}

/** Solver steps of all blocks that are made. */
export function stepsOfSample(
  config: AcditConfig,
  { steps, given, blocks = config.blocks }: Pick<BatchedRequest, 'steps' | 'given' | 'blocks'>,
): number {
  const kept = given?.shape[1] ?? 0;
  const ofBlocks = typeof steps === 'number' ? Array<number>(blocks).fill(steps) : steps;
  return ofBlocks.slice(kept).reduce((sum, n) => sum + n, 0);
}

/** What a sampler is asked for, batch after batch. @param start number of the first sample */
export function* batchRequests(
  request: BatchedRequest,
  signal: AbortSignal,
  start = 0,
): Generator<SampleRequest> {
  const { seed, batch, noise, given, steps, cfg, solver, blocks, window } = request;
  for (let first = start; first < request.labels.length; first += batch) {
    const labels = request.labels.slice(first, first + batch);
    yield {
      labels,
      steps,
      cfg,
      solver,
      seed,
      first,
      signal,
      ...(blocks !== undefined && { blocks }),
      ...(window !== undefined && { window }),
      ...(noise && { noise: rowsOf(noise, first, first + labels.length) }),
      ...(given && { given }),
    };
  }
}

/** Sample batch after batch; gives the latents (N, T, B, C) of each. */
export async function* sampleBatches(
  sampler: Sampler,
  request: BatchedRequest,
  { signal }: { signal: AbortSignal },
): AsyncGenerator<Tensor<'float32'>, void, void> {
  for (const batch of batchRequests(request, signal)) {
    for await (const event of sampler.sample(batch)) if (event.kind === 'done') yield event.latents;
  }
}
