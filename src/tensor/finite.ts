/** @file Checks that values are finite. */

import { ArgumentError } from '../errors.ts';
import type { Tensor } from './tensor.ts';

/**
 * Check that a given tensor contains neither NaN nor infinity.
 * @param what the name of the tensor in the message.
 * @throws {ArgumentError} naming the first such value and its place.
 */
export function requireFinite({ shape, data }: Tensor<'float32'>, what: string): void {
  const first = data.findIndex((value) => !Number.isFinite(value));
  if (first < 0) return;
  const place: number[] = [];
  let rest = first;
  for (const size of shape.toReversed()) {
    place.unshift(rest % size);
    rest = Math.floor(rest / size);
  }
  throw new ArgumentError(`${what} must be finite, got ${data[first]} at [${place}]`);
}
