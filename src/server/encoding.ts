/** @file Tensors as JSON. */

import { endianness } from 'node:os';
import { arrayFromBytes, elementCount, float32, type Tensor, tensorBytes } from '../tensor/tensor.ts';
import type { EncodedTensor } from './api.ts';
import { invalid } from './problems.ts';

const LITTLE = endianness() === 'LE';

export function encodeTensor(value: Tensor<'float32'>): EncodedTensor {
  return { shape: [...value.shape], data: littleEndian(Buffer.from(tensorBytes(value))).toString('base64') };
}

/** @throws {ApiError} if there are fewer or more values than the shape has */
export function decodeTensor({ shape, data }: EncodedTensor, param: string): Tensor<'float32'> {
  const bytes = Buffer.from(data, 'base64');
  const expected = 4 * elementCount(shape);
  if (bytes.length !== expected) {
    invalid(param, `${param}: shape [${shape}] takes ${expected} bytes, got ${bytes.length}`);
  }
  return float32(shape, arrayFromBytes('float32', new Uint8Array(littleEndian(bytes))));
}

/** A copy with each value's bytes in the other order, where this machine is not little endian. */
function littleEndian(bytes: Buffer): Buffer {
  return LITTLE ? bytes : Buffer.from(bytes).swap32();
}
