/** @file PyTorch's element types and storage classes, by its names. */

import { bytesPerElement, type DType } from '../../tensor/tensor.ts';

/** `torch.float32`; PyTorch names the dtypes that this package has as it does. */
export type DTypeName = `torch.${string}`;

/** PyTorch's storage classes. */
export const storageTypes: Readonly<Record<string, DType>> = {
  DoubleStorage: 'float64',
  FloatStorage: 'float32',
  HalfStorage: 'float16',
  BFloat16Storage: 'bfloat16',
  LongStorage: 'int64',
  IntStorage: 'int32',
  ShortStorage: 'int16',
  CharStorage: 'int8',
  ByteStorage: 'uint8',
  BoolStorage: 'bool',
};

/** Storage classes whose elements this package has no type for. Such tensors are named, but not read. */
export const otherStorageTypes: Readonly<Record<string, string>> = {
  ComplexFloatStorage: 'complex64',
  ComplexDoubleStorage: 'complex128',
  QInt8Storage: 'qint8',
  QInt32Storage: 'qint32',
  QUInt8Storage: 'quint8',
  QUInt4x2Storage: 'quint4x2',
  QUInt2x4Storage: 'quint2x4',
};

export const dtypes = new Map<string, DType>(
  ([...Object.values(storageTypes), 'uint16', 'uint32', 'uint64'] as const).map((dtype) => [
    `torch.${dtype}`,
    dtype,
  ]),
);

/** A dtype's name as a value is the string itself. */
const OTHER_DTYPE =
  /^torch\.(complex(32|64|128)|float8_\w{1,12}|float4_\w{1,12}|q?u?int\d\w{0,3}|bits\d\w{0,5})$/;

export function isDTypeName(name: string): name is DTypeName {
  return dtypes.has(name) || OTHER_DTYPE.test(name);
}

/** Bytes of an element in its storage, for dtypes too that are not read. */
export function storedSize(name: DTypeName): number {
  const dtype = dtypes.get(name);
  if (dtype) return bytesPerElement(dtype);
  return { 'torch.complex64': 8, 'torch.complex128': 16, 'torch.qint32': 4 }[name as string] ?? 1;
}
