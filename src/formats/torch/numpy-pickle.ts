/**
 * @file NumPy's scalars and arrays in pickles: a learning rate, the state of a random generator. NumPy calls functions
 * of its own to make them (numpy/core/src/multiarray/methods.c, `array_reduce`); here those names stand for reading
 * their bytes.
 */

import { at } from '../../at.ts';
import { FormatError } from '../../errors.ts';
import { printable } from '../../io/printable.ts';
import { toFloat32 } from '../../tensor/convert.ts';
import { type Tensor, zeros } from '../../tensor/tensor.ts';
import { rowMajorStrides } from '../elements.ts';
import { arrayFromNumpy, isNumpyType, numpyType } from '../npy.ts';
import type { LazyTensor, TensorInfo } from '../tensor-archive.ts';
import type { PickleValue } from './pickle.ts';

/** A `numpy.dtype`, whose byte order is set after it is made. */
export interface NumpyDtype {
  readonly kind: 'numpy-dtype';
  /** Such as `f8`. */
  readonly code: string;
  order: string;
}

/** A `numpy.ndarray`, which is empty until its state is set. It is read as a tensor is. */
export interface NumpyArray extends LazyTensor {
  readonly kind: 'tensor';
  readonly strides: readonly number[];
  readonly isNumpyArray: true;
}

type Mutable<T> = { -readonly [K in keyof T]: T[K] };

/** `numpy.dtype(code, align, copy)` */
export function makeDtype([code]: readonly unknown[], name: string): NumpyDtype {
  if (typeof code !== 'string') throw new FormatError(`${name}: a NumPy dtype has no name`);
  return { kind: 'numpy-dtype', code, order: '<' };
}

/** The state of a dtype: (version, byte order, ...). */
export function setDtypeState(dtype: NumpyDtype, state: unknown, name: string): void {
  const [, order] = Array.isArray(state) ? state : [];
  if (typeof order !== 'string') throw new FormatError(`${name}: the state of a NumPy dtype is damaged`);
  dtype.order = order;
}

/** `scalar(dtype, bytes)`. A date, a text or a complex number is not read: its type stands for it. */
export function makeScalar<H extends object>(
  [dtype, bytes]: readonly unknown[],
  name: string,
): PickleValue<H | NumpyDtype> {
  if (isUnreadable(dtype)) return dtype;
  const array = arrayOf(dtype, [], false, bytes, name);
  const value = at<number | bigint>((array.dtype === 'float16' ? toFloat32(array) : array).data, 0);
  if (array.dtype === 'bool') return value === 1;
  return typeof value === 'bigint' && Number.isSafeInteger(Number(value)) ? Number(value) : value;
}

const EMPTY = zeros('uint8', [0]);

/** `_reconstruct(ndarray, shape, typecode)`, an array still without contents. */
export function makeEmptyArray(): NumpyArray {
  return arrayObject(EMPTY, async () => EMPTY);
}

/** The state of an array: (version, shape, dtype, Fortran order, bytes). */
export function setArrayState(array: NumpyArray, state: unknown, name: string): void {
  const [, shape, dtype, fortran, bytes] = Array.isArray(state) ? state : [];
  Object.assign(array as Mutable<NumpyArray>, lazyArray(dtype, shape, fortran, bytes, name));
}

/** `_frombuffer(bytes, dtype, shape, order)`, what protocol 5 makes arrays with. */
export function arrayFromBuffer([bytes, dtype, shape, order]: readonly unknown[], name: string): NumpyArray {
  return lazyArray(dtype, shape, order === 'F', bytes, name);
}

/** An array of objects, texts or dates fails when it is read, and may be there otherwise. */
function lazyArray(
  dtype: unknown,
  shape: unknown,
  fortran: unknown,
  bytes: unknown,
  name: string,
): NumpyArray {
  if (isUnreadable(dtype)) {
    return arrayObject(EMPTY, async () => {
      throw new FormatError(
        `${name}: holds a NumPy array of type '${printable(dtype.code)}', which cannot be read`,
      );
    });
  }
  const value = arrayOf(dtype, shape, fortran, bytes, name);
  // A copy, since the reader of a tensor may change it.
  return arrayObject(value, async () => ({ ...value, data: value.data.slice() }) as Tensor);
}

function arrayObject({ dtype, shape }: TensorInfo, read: () => Promise<Tensor>): NumpyArray {
  return { kind: 'tensor', isNumpyArray: true, dtype, shape, strides: rowMajorStrides(shape), read };
}

function arrayOf(dtype: unknown, shape: unknown, fortran: unknown, bytes: unknown, name: string): Tensor {
  if (!isDtype(dtype) || !Array.isArray(shape) || !(bytes instanceof Uint8Array)) {
    throw new FormatError(`${name}: holds a NumPy array that is damaged or of objects`);
  }
  const type = numpyType((dtype.order === '>' ? '>' : '<') + dtype.code, name);
  return arrayFromNumpy(type, fortran === true, shape, bytes, name);
}

function isUnreadable(dtype: unknown): dtype is NumpyDtype {
  return isDtype(dtype) && !isNumpyType(dtype.code);
}

function isDtype(value: unknown): value is NumpyDtype {
  return typeof value === 'object' && value !== null && 'kind' in value && value.kind === 'numpy-dtype';
}
