/** @file What all formats share: shapes and byte counts checked before use, bytes to tensors, strides. */

import { at } from '../at.ts';
import { FormatError } from '../errors.ts';
import { allocateBytes } from '../io/byte-source.ts';
import { printable } from '../io/printable.ts';
import { type ArrayOf, arrayFromBytes, bytesPerElement, type DType, type Tensor } from '../tensor/tensor.ts';

/** numpy's limit since 2.0 and PyTorch's; beyond it a header is nonsense. */
const MAX_DIMS = 64;

/**
 * Number of elements of an untrusted shape.
 * @throws {FormatError} if it is not a list of at most 64 non-negative integers, or its product is too large.
 */
export function checkedElementCount(shape: readonly unknown[], where: string): number {
  let count = 1;
  for (const dim of shape) {
    if (!Number.isSafeInteger(dim) || (dim as number) < 0) {
      throw new FormatError(`${where}: ${printable(dim)} is not a valid dimension; the file is damaged`);
    }
    count *= dim as number;
  }
  if (shape.length > MAX_DIMS || !Number.isSafeInteger(count * 8)) {
    throw new FormatError(
      `${where}: shape [${shape.slice(0, 8)}${shape.length > 8 ? ', ...' : ''}] is implausibly large; the file is damaged`,
    );
  }
  return count;
}

/** A tensor over freshly read little-endian bytes, without a copy; any non-zero bool byte becomes 1. */
export function tensorFromBytes(dtype: DType, shape: readonly number[], bytes: Uint8Array): Tensor {
  if (dtype === 'bool') for (let i = 0; i < bytes.length; i++) bytes[i] = bytes[i] === 0 ? 0 : 1;
  return { dtype, shape, data: arrayFromBytes(dtype, bytes) };
}

/** Strides, in elements, of a row-major array. */
export function rowMajorStrides(shape: readonly number[]): number[] {
  let stride = 1;
  return shape
    .toReversed()
    .map((size) => {
      const own = stride;
      stride *= size;
      return own;
    })
    .reverse();
}

/** Whether strides walk the shape's elements in row-major order; those of axes of length 1 do not matter. */
export function isContiguous(shape: readonly number[], strides: readonly number[]): boolean {
  const expected = rowMajorStrides(shape);
  return shape.includes(0) || shape.every((dim, axis) => dim === 1 || strides[axis] === expected[axis]);
}

/** Index of a strided array's last element, relative to its first. The array must not be empty. */
export function lastIndex(shape: readonly number[], strides: readonly number[]): number {
  return shape.reduce((sum, dim, axis) => sum + (dim - 1) * at(strides, axis), 0);
}

/**
 * Row-major copy of a strided view whose first element is `source[0]`; its last must be inside `source`.
 * @throws {FormatError} if there is no memory for it.
 */
export function gatherStrided(
  dtype: DType,
  shape: readonly number[],
  strides: readonly number[],
  source: ArrayOf[DType],
  where: string,
): Tensor {
  const count = checkedElementCount(shape, where);
  const data = arrayFromBytes(dtype, allocateBytes(count * bytesPerElement(dtype), where));
  // One type of array at run time, the same for both.
  const [to, from] = [data as Float32Array, source as Float32Array];
  const axes = shape.map((size, axis) => ({ size, stride: at(strides, axis), index: 0 })).reverse();
  let position = 0;
  for (let i = 0; i < count; i++) {
    to[i] = from[position]!;
    for (const axis of axes) {
      position += axis.stride;
      if (++axis.index < axis.size) break;
      position -= axis.stride * axis.size;
      axis.index = 0;
    }
  }
  return { dtype, shape, data };
}
