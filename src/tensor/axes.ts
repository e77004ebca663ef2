/** @file Cutting and joining host tensors along an axis, and joining arrays. */

import { at } from '../at.ts';
import { ShapeError } from '../errors.ts';
import { type ArrayOf, elementCount, float32, newArray, type Tensor } from './tensor.ts';

/** A copy of the elements `start` up to `end` of an axis. */
export function sliceAxis(
  { shape, data }: Tensor<'float32'>,
  axis: number,
  start: number,
  end: number,
): Tensor<'float32'> {
  const size = at(shape, axis);
  if (start < 0 || end < start || end > size) {
    throw new ShapeError(`sliceAxis: ${start} to ${end} is outside axis ${axis} of [${shape}]`);
  }
  const inner = elementCount(shape.slice(axis + 1));
  const [whole, part] = [size * inner, (end - start) * inner];
  const out = new Float32Array(elementCount(shape.slice(0, axis)) * part);
  for (let from = start * inner, to = 0; to < out.length; from += whole, to += part) {
    out.set(data.subarray(from, from + part), to);
  }
  return float32([...shape.slice(0, axis), end - start, ...shape.slice(axis + 1)], out);
}

/** Concatenates tensors along an axis; in all others they must agree. */
export function joinAxis(parts: readonly Tensor<'float32'>[], axis: number): Tensor<'float32'> {
  const { shape } = at(parts, 0);
  const [before, after] = [shape.slice(0, axis), shape.slice(axis + 1)];
  for (const part of parts) {
    if (
      [...part.shape.slice(0, axis), at(shape, axis), ...part.shape.slice(axis + 1)].join() !== shape.join()
    ) {
      throw new ShapeError(`joinAxis: [${shape}] and [${part.shape}] differ in another axis than ${axis}`);
    }
  }
  const length = parts.reduce((sum, part) => sum + at(part.shape, axis), 0);
  const inner = elementCount(after);
  const out = new Float32Array(elementCount([...before, length, ...after]));
  let start = 0;
  for (const part of parts) {
    const size = at(part.shape, axis) * inner;
    for (let row = 0; row < elementCount(before); row++) {
      out.set(part.data.subarray(row * size, (row + 1) * size), row * length * inner + start);
    }
    start += size;
  }
  return float32([...before, length, ...after], out);
}

/** Returns the elements of all arrays, one after the other. */
export function joinArrays<D extends 'float32' | 'uint8'>(
  dtype: D,
  parts: readonly ArrayOf[D][],
): ArrayOf[D] {
  const length = parts.reduce((sum, part) => sum + part.length, 0);
  const all = newArray(dtype, length);
  let end = 0;
  for (const part of parts) {
    all.set(part, end);
    end += part.length;
  }
  return all;
}
