/**
 * @file The IDX format of the MNIST family: two zero bytes, an element type, the number of dimensions, each
 * dimension as a big-endian 32-bit integer, then the elements. Only unsigned bytes are in use.
 */

import { promisify } from 'node:util';
import { gunzip } from 'node:zlib';
import { FormatError } from '../../errors.ts';
import { elementCount, type Tensor, tensor } from '../../tensor/tensor.ts';

const UNSIGNED_BYTE = 0x08;
/** Far beyond the largest set in use (EMNIST by class, 0.55 GB); stops a hostile .gz from filling the memory. */
const MAXIMUM_BYTES = 4 * 2 ** 30;

/**
 * Parse an uncompressed IDX file.
 * @param name for messages.
 * @throws {FormatError} if the header is not IDX of unsigned bytes or does not fit the byte count.
 */
export function parseIdx(bytes: Uint8Array, name: string): Tensor<'uint8'> {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const rank = bytes[3];
  if (bytes.length < 4 || view.getUint16(0) !== 0 || bytes[2] !== UNSIGNED_BYTE || rank < 1 || rank > 4) {
    const got = Buffer.from(bytes.subarray(0, 4)).toString('hex') || 'an empty file';
    throw new FormatError(
      `${name}: no IDX file of unsigned bytes: expected to begin with 000008, got ${got}`,
    );
  }
  const header = 4 + 4 * rank;
  if (bytes.length < header) {
    throw new FormatError(`${name}: IDX header of ${header} bytes is cut short at ${bytes.length}`);
  }
  const shape = Array.from({ length: rank }, (_, i) => view.getUint32(4 + 4 * i));
  const expected = header + elementCount(shape);
  if (bytes.length !== expected) {
    throw new FormatError(
      `${name}: IDX header says [${shape}], ${expected} bytes, but there are ${bytes.length}; fetch the file again`,
    );
  }
  return tensor('uint8', shape, bytes.subarray(header));
}

/**
 * Unpack the bytes of a .gz file; others are returned as they are.
 * @throws {FormatError} if the compressed data is damaged or cut short.
 */
export async function unpackGzip(bytes: Uint8Array, name: string): Promise<Uint8Array> {
  if (bytes[0] !== 0x1f || bytes[1] !== 0x8b) return bytes;
  try {
    return await promisify(gunzip)(bytes, { maxOutputLength: MAXIMUM_BYTES });
  } catch (error) {
    throw new FormatError(`${name}: damaged gzip data (${(error as Error).message}); fetch the file again`, {
      cause: error,
    });
  }
}
