/** @file Checks that values are finite. */

import { ArgumentError } from '../errors.ts';
import type { Tensor } from './tensor.ts';

/**
 * Check that a given tensor contains neither NaN nor infinity.
 * @param what the name of the tensor in the message.
 * @throws {ArgumentError} naming the first such value and its place.
 */
export function requireFinite({ shape, data }: Tensor<'float32'>, what: string): void {
  const at = data.findIndex((value) => !Number.isFinite(value));
  if (at < 0) return;
  const place: number[] = [];
  for (let axis = shape.length - 1, rest = at; axis >= 0; axis--) {
    place.unshift(rest % shape[axis]);
    rest = Math.floor(rest / shape[axis]);
  }
  throw new ArgumentError(`${what} must be finite, got ${data[at]} at [${place}]`);
}
