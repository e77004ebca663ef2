/** @file Where samples come from that are too many to be held at once. */

import { elementCount, type Tensor } from '../tensor/tensor.ts';
import type { PassedOver } from '../training/datasets/folder-files.ts';
import type { Protocol } from './evaluation-set.ts';

/** Samples of one shape, of 8 bits, in order. */
export interface SampleSource {
  /** What to call it in messages. */
  readonly name: string;
  readonly count: number;
  /** Of one sample, the channels last: (H, W, C) of images, (T, H, W, C) of clips. */
  readonly shape: readonly number[];
  /** What each sample was made to show, where that is known. */
  readonly labels?: ArrayLike<number> | undefined;
  /** Why there are no labels although there should be. */
  readonly labelProblem?: string | undefined;
  /** Files of its folder that are not read, to be reported once. */
  readonly passedOver?: PassedOver | undefined;
  /** How clips were chosen. */
  readonly protocol?: Protocol | undefined;
  /**
   * All samples (N, ..., C), at most so many at once: fewer in the last batch, and where samples are very large.
   * @throws {FormatError} if one cannot be read, or is of another shape.
   */
  batches(size: number): AsyncGenerator<Tensor<'uint8'>, void>;
  /** Close the files behind it. */
  close(): Promise<void>;
}

/** Bytes of the samples of one batch, at most, unless one alone has more. */
const BATCH_BYTES = 2 ** 26;

/** At most `size` samples of this shape at once, fewer if they are large. */
export function modestBatch(size: number, shape: readonly number[]): number {
  return Math.max(1, Math.min(size, Math.floor(BATCH_BYTES / elementCount(shape))));
}
