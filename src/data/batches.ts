/**
 * @file Endless batches in a random order that depends on nothing but the seed: sample number p of a training is
 * place p mod size in the order of epoch floor(p / size). To resume later, the number of samples seen is enough.
 */

import { at } from '../at.ts';
import { ArgumentError, DatasetError } from '../errors.ts';
import { joinArrays } from '../tensor/axes.ts';
import { Generator } from '../tensor/generator.ts';
import { float32, type Tensor } from '../tensor/tensor.ts';
import { type Augmentation, augment } from './augment.ts';
import type { Dataset, Sample } from './dataset.ts';

/** Samples and labels of one training step. */
export interface Batch {
  /** (N, frames, C, H, W) in [-1, 1], or scaled latents. */
  readonly samples: Tensor<'float32'>;
  /** (N). */
  readonly labels: Int32Array;
  /** Number of the first sample, counted from the start of the training. */
  readonly position: number;
}

/** Which batches, and how they are read. */
export interface BatchOptions {
  readonly batchSize: number;
  readonly seed: number;
  /** Number of samples that were seen before. Default 0. */
  readonly position?: number;
  readonly augmentation?: Augmentation;
  /** Batches read ahead while the caller works on one. Default 1. */
  readonly prefetch?: number;
  readonly signal?: AbortSignal;
  /** Chooses batches by their number, counted from `position`; the others are not read. By default all. */
  readonly takes?: (batch: number) => boolean;
}

/** Keys that keep the streams made from one seed apart. */
const ORDER_STREAM = 1;
const SAMPLE_STREAM = 2;

/** The order of the samples in an epoch. */
export function epochOrder(size: number, seed: number, epoch: number): Int32Array {
  return Generator.seeded(seed, ORDER_STREAM, epoch).randperm(size);
}

/**
 * Batches from sample number `position` on, without end; the next ones are read while the caller works. A batch
 * may reach from one epoch into the next. For a corrupt sample the next good one in the epoch's order stands in.
 * @throws {DatasetError} if no sample, or too few, can be read.
 * @throws the signal's reason once it is aborted.
 */
export async function* batches(dataset: Dataset, options: BatchOptions): AsyncGenerator<Batch, never, void> {
  const { batchSize, prefetch = 1, signal, takes = () => true } = options;
  if (!Number.isInteger(batchSize) || batchSize < 1) {
    throw new ArgumentError(`batches: batchSize must be a positive integer, got ${batchSize}`);
  }
  const orders = new Map<number, Int32Array>();
  const orderOf = (epoch: number): Int32Array => {
    const order = orders.get(epoch) ?? epochOrder(dataset.size, options.seed, epoch);
    orders.set(epoch, order).delete(epoch - 2); // a batch touches two epochs at most, unless they are tiny
    return order;
  };
  const ahead: Promise<Batch>[] = [];
  const start = options.position ?? 0;
  let next = 0;
  while (true) {
    while (ahead.length <= prefetch) {
      signal?.throwIfAborted();
      while (!takes(next)) next++;
      const batch = readBatch(dataset, orderOf, start + next * batchSize, options);
      // Seen when its turn comes; until then a failure must not count as unhandled.
      batch.catch(() => {});
      ahead.push(batch);
      next++;
    }
    const batch = await ahead.shift()!;
    signal?.throwIfAborted();
    yield batch;
  }
}

type OrderOf = (epoch: number) => Int32Array;

async function readBatch(
  dataset: Dataset,
  orderOf: OrderOf,
  position: number,
  { batchSize, seed, augmentation }: BatchOptions,
): Promise<Batch> {
  const numbers = Array.from({ length: batchSize }, (_, i) => position + i);
  const samples = await Promise.all(
    numbers.map(async (number) => {
      const generator = Generator.seeded(seed, SAMPLE_STREAM, number);
      const sample = await readGood(dataset, orderOf, number, generator);
      if (!augmentation) return sample;
      return { ...sample, values: augment(sample.values, dataset.sampleShape, augmentation, generator) };
    }),
  );
  const values = samples.map((sample) => sample.values);
  return {
    samples: float32([batchSize, ...dataset.sampleShape], joinArrays('float32', values)),
    labels: Int32Array.from(samples, ({ label }) => label),
    position,
  };
}

/** The sample at a place of the order or, if it is corrupt, the next good one, around the end if need be. */
async function readGood(
  dataset: Dataset,
  orderOf: OrderOf,
  number: number,
  generator: Generator,
): Promise<Sample> {
  const { size } = dataset;
  const order = orderOf(Math.floor(number / size));
  for (let i = 0; i < size; i++) {
    const sample = await dataset.read(at(order, (number + i) % size), generator);
    if (sample) return sample;
  }
  throw new DatasetError(`${dataset.name}: none of its ${size} samples can be read`);
}
