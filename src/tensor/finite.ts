/** @file Checks that values are finite. */

import { ArgumentError } from '../errors.ts';
import type { Tensor } from './tensor.ts';

/** Returns what is wrong with a tensor that contains NaN or infinity: the first such value and its place. */
export function nonFinite({ shape, data }: Tensor<'float32'>): string | undefined {
  const at = data.findIndex((value) => !Number.isFinite(value));
  if (at < 0) return undefined;
  let rest = at;
  const place = shape.toReversed().map((size) => {
    const index = rest % size;
    rest = Math.floor(rest / size);
    return index;
  });
  return `must be finite, got ${data[at]} at [${place.reverse()}]`;
}

/**
 * Checks that a given tensor contains neither NaN nor infinity.
 * @param what the name of the tensor in the message.
 * @throws {ArgumentError} naming the first such value and its place.
 */
export function requireFinite(value: Tensor<'float32'>, what: string): void {
  const problem = nonFinite(value);
  if (problem) throw new ArgumentError(`${what} ${problem}`);
}
