/** @file Host arrays: an element type, a shape and a typed array in row-major order. */

import { ShapeError } from '../errors.ts';

/** Half floats are kept as their bits; bool as 0 or 1. */
const constructors = {
  float32: Float32Array,
  float64: Float64Array,
  float16: Uint16Array,
  bfloat16: Uint16Array,
  int8: Int8Array,
  uint8: Uint8Array,
  int16: Int16Array,
  uint16: Uint16Array,
  int32: Int32Array,
  uint32: Uint32Array,
  int64: BigInt64Array,
  uint64: BigUint64Array,
  bool: Uint8Array,
} as const;

/** Element types, each with the typed array that holds it. */
export type ArrayOf = { [D in keyof typeof constructors]: (typeof constructors)[D]['prototype'] };

/** An element type of host tensors. */
export type DType = keyof ArrayOf;

/** A dense array on the host. */
export interface Tensor<D extends DType = DType> {
  readonly dtype: D;
  readonly shape: readonly number[];
  readonly data: ArrayOf[D];
}

/** Bytes one element takes. */
export function bytesPerElement(dtype: DType): number {
  return constructors[dtype].BYTES_PER_ELEMENT;
}

/** Number of elements of a shape; 1 for a scalar. */
export function elementCount(shape: readonly number[]): number {
  return shape.reduce((product, dim) => product * dim, 1);
}

/**
 * Wrap `data` as a tensor.
 * @throws {ShapeError} if the shape's element count differs from the data's length.
 */
export function tensor<D extends DType>(dtype: D, shape: readonly number[], data: ArrayOf[D]): Tensor<D> {
  if (elementCount(shape) !== data.length) {
    throw new ShapeError(
      `tensor: shape [${shape}] has ${elementCount(shape)} elements but the data has ${data.length}`,
    );
  }
  return { dtype, shape, data };
}

/** A float32 tensor; `data` may be any array of numbers. */
export function float32(shape: readonly number[], data: ArrayLike<number>): Tensor<'float32'> {
  return tensor('float32', shape, data instanceof Float32Array ? data : Float32Array.from(data));
}

/** A tensor of zeros. */
export function zeros<D extends DType>(dtype: D, shape: readonly number[]): Tensor<D> {
  return { dtype, shape, data: newArray(dtype, elementCount(shape)) };
}

/** A typed array of `length` zeros for `dtype`. */
export function newArray<D extends DType>(dtype: D, length: number): ArrayOf[D] {
  return new constructors[dtype](length) as unknown as ArrayOf[D];
}

/**
 * View `bytes` as elements of `dtype`, copying only if they are not aligned in their buffer.
 * @throws {ShapeError} if the byte count is not a whole number of elements.
 */
export function arrayFromBytes<D extends DType>(dtype: D, bytes: Uint8Array): ArrayOf[D] {
  const Constructor = constructors[dtype];
  const size = Constructor.BYTES_PER_ELEMENT;
  if (bytes.byteLength % size !== 0) {
    throw new ShapeError(`${dtype}: ${bytes.byteLength} bytes are no whole number of ${size}-byte elements`);
  }
  const aligned = bytes.byteOffset % size === 0 ? bytes : new Uint8Array(bytes); // Buffer's slice is not a copy
  return new Constructor(
    aligned.buffer as ArrayBuffer,
    aligned.byteOffset,
    aligned.byteLength / size,
  ) as unknown as ArrayOf[D];
}

/** The bytes of a tensor's elements, without a copy. */
export function tensorBytes(value: Tensor): Uint8Array {
  return new Uint8Array(value.data.buffer, value.data.byteOffset, value.data.byteLength);
}
