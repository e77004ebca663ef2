/** @file Where samples come from that are too many to be held at once. */

import { DatasetError, FormatError } from '../errors.ts';
import { joinArrays } from '../tensor/axes.ts';
import { elementCount, type Tensor, tensor } from '../tensor/tensor.ts';
import type { SampleFacts } from './evaluation-set.ts';

/** Samples of one shape, of 8 bits, in order. */
export interface SampleSource extends SampleFacts {
  readonly count: number;
  /** Shape of one sample, channels last: (H, W, C) of images, (T, H, W, C) of clips. */
  readonly shape: readonly number[];
  /**
   * All samples (N, ..., C), at most `size` at once: fewer in the last batch, and where samples are very large.
   * @throws {FormatError} if one cannot be read, or is of another shape.
   */
  batches(size: number): AsyncGenerator<Tensor<'uint8'>, void>;
  /** The same batches for several processes of which each reads some; absent if only one can read. */
  readonly shared?: SharedBatches;
  /** Close its files. */
  close(): Promise<void>;
}

/** The batches of a source, of which several processes read some each. */
export interface SharedBatches {
  /** Number of batches that {@link SampleSource.batches} yields. */
  count(size: number): number;
  /** Those of the batches that are the process's own, by their number from 0. */
  read(size: number, isOwn: (batch: number) => boolean): AsyncGenerator<Tensor<'uint8'>, void>;
  /** Differs if the samples do, as far as that shows in names and lengths of files, or their checksums. */
  fingerprint(): Promise<string>;
}

/** Returns what reads all batches, and some of them. */
export function batchesOf(shared: SharedBatches): Pick<SampleSource, 'batches' | 'shared'> {
  return { batches: (size) => shared.read(size, () => true), shared };
}

/** Number of batches of `count` samples of this shape, `size` or fewer at once. */
export function modestBatches(count: number, size: number, shape: readonly number[]): number {
  return Math.ceil(count / modestBatch(size, shape));
}

/** Max bytes of a batch, unless a single sample has more. */
const BATCH_BYTES = 2 ** 26;

/** Returns the batch size for samples of this shape: `size`, or fewer if they are large. */
export function modestBatch(size: number, shape: readonly number[]): number {
  return Math.max(1, Math.min(size, Math.floor(BATCH_BYTES / elementCount(shape))));
}

/** Returns samples of one shape as a batch (N, ...shape). */
export function batchOf(
  shape: readonly number[],
  samples: readonly { readonly data: Uint8Array }[],
): Tensor<'uint8'> {
  const data = samples.map((sample) => sample.data);
  return tensor('uint8', [samples.length, ...shape], joinArrays('uint8', data));
}

/** Reads the labels of a set, if possible; only some metrics need them. */
export async function labelsIfReadable(
  read: () => Promise<ArrayLike<number>>,
): Promise<Pick<SampleSource, 'labels' | 'labelProblem'>> {
  try {
    return { labels: await read() };
  } catch (error) {
    if (error instanceof DatasetError || error instanceof FormatError) return { labelProblem: error.message };
    throw error;
  }
}

/**
 * Yields what `read` returns for 0 to `count`, `size` at once, in order; the next batch is read while the last is used.
 * @param isWanted says which batches are read, by their number.
 */
export async function* readAhead<T>(
  count: number,
  size: number,
  read: (index: number) => Promise<T>,
  isWanted: (batch: number) => boolean = () => true,
): AsyncGenerator<T[], void> {
  const numbers = Array.from({ length: Math.ceil(count / size) }, (_, batch) => batch).filter(isWanted);
  const readBatch = (batch: number | undefined) => {
    const start = batch === undefined ? count : batch * size;
    return settled(Array.from({ length: Math.min(size, count - start) }, (_, i) => read(start + i)));
  };
  let next = readBatch(numbers[0]);
  for (let i = 0; i < numbers.length; i++) {
    const results = (await next)();
    next = readBatch(numbers[i + 1]);
    yield results;
  }
}

/** All results when they are asked for, or the first failure, which is not lost if they never are. */
async function settled<T>(work: readonly Promise<T>[]): Promise<() => T[]> {
  const results = await Promise.allSettled(work);
  return () =>
    results.map((result) => {
      if (result.status === 'rejected') throw result.reason;
      return result.value;
    });
}
