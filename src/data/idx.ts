/**
 * @file The IDX format of the MNIST family: two zero bytes, an element type, the number of dimensions, each
 * dimension as a big-endian 32-bit integer, then the elements. Only unsigned bytes are in use.
 */

import { Readable } from 'node:stream';
import { createGunzip } from 'node:zlib';
import { FormatError } from '../errors.ts';
import { elementCount, type Tensor, tensor } from '../tensor/tensor.ts';

const UNSIGNED_BYTE = 0x08;
/** Max unpacked bytes of a .gz file. EMNIST by class, the largest set in use, takes 547 MB. */
const MAXIMUM_BYTES = 768 * 2 ** 20;
/** Max bytes of a header: two zero bytes, the type, the rank, and 4 bytes for each of at most 4 dimensions. */
const LONGEST_HEADER = 20;

/**
 * Parse an uncompressed IDX file.
 * @param name for messages.
 * @throws {FormatError} if the header is not IDX of unsigned bytes or does not fit the byte count.
 */
export function parseIdx(bytes: Uint8Array, name: string): Tensor<'uint8'> {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const rank = bytes[3];
  if (rank === undefined || view.getUint16(0) !== 0 || bytes[2] !== UNSIGNED_BYTE || rank < 1 || rank > 4) {
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
 * Unpack the bytes of a .gz file of IDX data; other bytes are returned unchanged. Memory is allocated once the header is
 * known, but not if it states more than 768 MiB.
 * @throws {FormatError} if the compressed data is damaged, cut short or too large.
 */
export async function unpackGzip(bytes: Uint8Array, name: string): Promise<Uint8Array> {
  if (bytes[0] !== 0x1f || bytes[1] !== 0x8b) return bytes;
  const damaged = (reason: string, cause?: unknown): FormatError =>
    new FormatError(`${name}: damaged gzip data (${reason}); fetch the file again`, { cause });
  let start: Uint8Array = new Uint8Array();
  let out: Uint8Array | undefined;
  let filled = 0;
  try {
    for await (const chunk of Readable.from([bytes]).pipe(createGunzip())) {
      let piece = chunk as Uint8Array;
      if (!out) {
        start = piece = Buffer.concat([start, piece]);
        if (start.length < LONGEST_HEADER) continue;
        const stated = checkedLength(start, name);
        if (stated === undefined) return start; // parsing will say what is wrong
        out = new Uint8Array(stated);
      }
      if (filled + piece.length > out.length) throw damaged('it holds more than its header states');
      out.set(piece, filled);
      filled += piece.length;
    }
  } catch (error) {
    throw error instanceof FormatError ? error : damaged((error as Error).message, error);
  }
  return out?.subarray(0, filled) ?? start;
}

/** Returns the length that a header states. @throws {FormatError} if it is above the limit. */
function checkedLength(start: Uint8Array, name: string): number | undefined {
  const stated = statedBytes(start);
  if (stated === undefined || stated <= MAXIMUM_BYTES) return stated;
  throw new FormatError(
    `${name}: its ${stated} bytes are more than the limit of ${MAXIMUM_BYTES} for compressed data; unpack it with gunzip`,
  );
}

/** Returns the length of an IDX file that begins like this; `undefined` if none does. */
function statedBytes(start: Uint8Array): number | undefined {
  const rank = start[3];
  if (rank === undefined || start[2] !== UNSIGNED_BYTE || rank < 1 || rank > 4) return undefined;
  const header = 4 + 4 * rank;
  if (start.length < header) return undefined;
  const view = new DataView(start.buffer, start.byteOffset, start.byteLength);
  return header + elementCount(Array.from({ length: rank }, (_, i) => view.getUint32(4 + 4 * i)));
}
