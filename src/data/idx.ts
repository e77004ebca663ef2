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
  const header = readHeader(bytes);
  if (!header) {
    const got = Buffer.from(bytes.subarray(0, 4)).toString('hex') || 'an empty file';
    throw new FormatError(
      `${name}: no IDX file of unsigned bytes: expected to begin with 000008, got ${got}`,
    );
  }
  const { length, shape, fileBytes } = header;
  if (bytes.length < length) {
    throw new FormatError(`${name}: IDX header of ${length} bytes is cut short at ${bytes.length}`);
  }
  if (bytes.length !== fileBytes) {
    throw new FormatError(
      `${name}: IDX header says [${shape}], ${fileBytes} bytes, but there are ${bytes.length}; fetch the file again`,
    );
  }
  return tensor('uint8', shape, bytes.subarray(length));
}

/** Reads the header of a file that begins like this, all of it if there are enough bytes; undefined if it is not IDX. */
function readHeader(start: Uint8Array) {
  const [first, second, type, rank = 0] = start;
  if (first !== 0 || second !== 0 || type !== UNSIGNED_BYTE || rank < 1 || rank > 4) return undefined;
  const length = 4 + 4 * rank;
  const view = new DataView(start.buffer, start.byteOffset, start.byteLength);
  const shape = Array.from({ length: start.length < length ? 0 : rank }, (_, i) => view.getUint32(4 + 4 * i));
  return { length, shape, fileBytes: length + elementCount(shape) };
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
        const header = readHeader(start);
        if (!header) return start; // parsing will say what is wrong
        requireModest(header.fileBytes, name);
        out = new Uint8Array(header.fileBytes);
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

function requireModest(bytes: number, name: string): void {
  if (bytes <= MAXIMUM_BYTES) return;
  throw new FormatError(
    `${name}: its ${bytes} bytes are more than the limit of ${MAXIMUM_BYTES} for compressed data; unpack it with gunzip`,
  );
}
