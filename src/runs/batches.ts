/** @file Sampling any number of samples in batches, each from noise of its own, so that batches change no sample. */

import { type StoredModel, weightSource } from '../checkpoints/stored-model.ts';
import type { AcditConfig } from '../models/acdit/config.ts';
import { rowsOf } from '../models/acdit/weights.ts';
import type { Device } from '../runtime/device.ts';
import { cacheBytes } from '../sampling/cache.ts';
import type { LoadCheckOptions } from '../sampling/load-check.ts';
import type { Precision } from '../sampling/precision.ts';
import { createSampler, type SampleEvent, type SampleRequest, type Sampler } from '../sampling/sampler.ts';
import type { Tensor } from '../tensor/tensor.ts';

/** A request for any number of samples. */
export interface BatchedRequest extends Omit<SampleRequest, 'first' | 'signal'> {
  /** Batch size. */
  readonly batch: number;
}

/** A stored model, and what computes its samples. */
export interface SamplerSource {
  /** The model; the caller closes it. */
  readonly model: StoredModel;
  /** Computes the samples; the caller disposes of it. Images are decoded on the CPU, with as many threads. */
  readonly device: Device;
  /**
   * How products with weights are computed (default: fp32, or int8 if the model is stored so). int8 is faster on most CPUs,
   * and changes samples a little.
   */
  readonly precision?: Precision | undefined;
  /** Gets the device and precision that are used instead of ones that compute wrongly; see {@link createSampler}. */
  readonly onFallback?: LoadCheckOptions['onFallback'];
}

/** What the samples were computed on, which differs from what was asked for if that computes wrongly. */
export type RanOn = Pick<Sampler, 'device' | 'precision' | 'int8Share'>;

/** Handles the batches of {@link sampleAhead}. */
export interface BatchHandler {
  /** @param done passes of the batch through the network, of all its blocks. */
  onStep(event: SampleEvent & { readonly kind: 'step' }, batch: SampleRequest, done: number): void;
  /** Handles the latents (N, T, B, C) of a batch, while the next one is sampled. */
  onDone(latents: Tensor<'float32'>): Promise<void>;
}

/** Max bytes of keys and values that a batch caches by default. */
const CACHE_BYTES = 1e9;
const LARGEST_DEFAULT_BATCH = 16;
/** If only throughput counts. The bundled model: 221 ms of one core per sample at 1, 73 at 16, 69 at 32, 72 at 64. */
const LARGEST_THROUGHPUT_BATCH = 32;

/** Returns the batch size with a cache of at most a gigabyte, up to 16, or up to 32 where nobody waits for the first. */
export function defaultBatch(
  config: AcditConfig,
  { throughput = false }: { readonly throughput?: boolean } = {},
): number {
  const most = throughput ? LARGEST_THROUGHPUT_BATCH : LARGEST_DEFAULT_BATCH;
  return Math.max(
    1,
    Math.min(most, Math.floor(CACHE_BYTES / Math.max(cacheBytes(config, config.blocks - 1), 1))),
  );
}

/** Yields what a sampler is asked for, batch after batch, from sample `first` on (default: 0). */
export function* batchRequests(
  { batch, noise, ...request }: BatchedRequest,
  { first: start = 0, signal }: Pick<SampleRequest, 'first' | 'signal'> = {},
): Generator<SampleRequest, void, void> {
  for (let first = start; first < request.labels.length; first += batch) {
    const labels = request.labels.slice(first, first + batch);
    const rows = noise && { noise: rowsOf(noise, first, first + labels.length) };
    yield { ...request, ...rows, labels, first, ...(signal && { signal }) };
  }
}

/**
 * Samples batch after batch: one is handled while the next is sampled. When this ends or fails, nothing is handled any more.
 * @param sampler is disposed of
 */
export async function sampleAhead(
  sampler: Sampler,
  request: BatchedRequest,
  options: Pick<SampleRequest, 'first' | 'signal'>,
  { onStep, onDone }: BatchHandler,
): Promise<void> {
  let handling = Promise.resolve();
  try {
    for (const batch of batchRequests(request, options)) {
      let done = 0;
      for await (const event of sampler.sample(batch)) {
        if (event.kind === 'step') {
          done += event.passes;
          onStep(event, batch, done);
        }
        if (event.kind !== 'done') continue;
        await handling;
        handling = onDone(event.latents);
        handling.catch(() => {}); // it is awaited below
      }
    }
  } catch (error) {
    await handling.catch(() => {});
    throw error;
  } finally {
    await sampler.dispose(); // frees memory for decoding
  }
  await handling;
}

/** Reads a stored model into a sampler; the caller disposes of it. */
export function openSampler(
  { model, device, precision, onFallback }: SamplerSource,
  signal?: AbortSignal,
): Promise<Sampler> {
  return createSampler({
    config: model.config,
    weights: weightSource(model),
    device,
    precision,
    onFallback,
    ...(signal && { signal }),
  });
}
