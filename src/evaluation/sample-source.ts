/** @file Where samples come from that are too many to be held at once. */

import type { Tensor } from '../tensor/tensor.ts';
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
  /** How clips were chosen. */
  readonly protocol?: Protocol | undefined;
  /**
   * All samples (N, ..., C), so many at once; the last batch may have fewer.
   * @throws {FormatError} if one cannot be read, or is of another shape.
   */
  batches(size: number): AsyncGenerator<Tensor<'uint8'>, void>;
  /** Close the files behind it. */
  close(): Promise<void>;
}
