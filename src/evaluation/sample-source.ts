/** @file Where samples come from that are too many to be held at once. */

import type { IgnoredFiles } from '../data/folder-files.ts';
import { elementCount, type Tensor } from '../tensor/tensor.ts';
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
  /** Why labels are missing, if they should be there. */
  readonly labelProblem?: string | undefined;
  /** Ignored files of its folder, to be reported once. */
  readonly ignoredFiles?: IgnoredFiles | undefined;
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

/** Max bytes of a batch, unless a single sample has more. */
const BATCH_BYTES = 2 ** 26;

/** Returns the batch size for samples of this shape: `size`, or fewer if they are large. */
export function modestBatch(size: number, shape: readonly number[]): number {
  return Math.max(1, Math.min(size, Math.floor(BATCH_BYTES / elementCount(shape))));
}
