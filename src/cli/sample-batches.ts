/** @file Sampling any number of samples in batches, each from noise of its own, so that batches change no picture. */

import type { SolverName } from '../diffusion/solvers/index.ts';
import { type AcditConfig, tokenSize } from '../models/acdit/config.ts';
import { rowsOf } from '../models/acdit/weights.ts';
import type { SampleEvent, Sampler } from '../sampling/sampler.ts';
import { Generator } from '../tensor/generator.ts';
import { elementCount, float32, type Tensor } from '../tensor/tensor.ts';
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

/** Keys of the stream of random numbers that stochastic solvers draw from; noise has one key only. */
const SOLVER_STREAM = 1;
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

/** Starting noise (N, T, B, C) of the samples from number `first` on, each from the seed and its number alone. */
export function seededNoise(
  config: AcditConfig,
  seed: number,
  first: number,
  samples: number,
): Tensor<'float32'> {
  const shape = latentShape(config, samples);
  const size = elementCount(shape.slice(1));
  const out = new Float32Array(samples * size);
  for (let n = 0; n < samples; n++) out.set(Generator.seeded(seed, first + n).randn(size), n * size);
  return float32(shape, out);
}

/** What `sampler.sample` is asked for the batch that starts at sample `first`. */
export function batchRequest(config: AcditConfig, request: BatchedRequest, first: number) {
  const { seed, batch, noise, steps, cfg, solver } = request;
  const labels = request.labels.slice(first, first + batch);
  return {
    labels,
    steps,
    cfg,
    solver,
    seed: Generator.seeded(seed, first, SOLVER_STREAM).randint(0, 2 ** 31, 1)[0],
    noise: noise
      ? rowsOf(noise, first, first + labels.length)
      : seededNoise(config, seed, first, labels.length),
  };
}

/** Sample batch after batch; gives the latents (N, T, B, C) of each. */
export async function* sampleBatches(
  sampler: Sampler,
  request: BatchedRequest,
  { signal, onEvent }: { signal: AbortSignal; onEvent?: (event: SampleEvent, first: number) => void },
): AsyncGenerator<Tensor<'float32'>, void, void> {
  for (let first = 0; first < request.labels.length; first += request.batch) {
    for await (const event of sampler.sample({ ...batchRequest(sampler.config, request, first), signal })) {
      onEvent?.(event, first);
      if (event.kind === 'done') yield event.latents;
    }
  }
}
