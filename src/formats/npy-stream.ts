/** @file Arrays in NumPy's `.npy` format read piece by piece, so that they may be larger than memory. */

import { take } from '../at.ts';
import { FormatError } from '../errors.ts';
import { closingOnError } from '../io/byte-source.ts';
import { joinArrays } from '../tensor/axes.ts';
import { bytesPerElement, type DType, elementCount, type Tensor } from '../tensor/tensor.ts';
import { checkedElementCount } from './elements.ts';
import { arrayFromNumpy, LONGEST_HEADER, numpyType, parseNpyHeader } from './npy.ts';

/** Max bytes of a row, which is held in memory as a whole. An image of 4096 x 4096 in float64 takes less. */
export const MAX_ROW = 512 * 2 ** 20;

/** An array whose rows, the parts along its first axis, are still to come. */
export interface NpyStream {
  readonly dtype: DType;
  readonly shape: readonly number[];
  /**
   * All rows in order, `rows` at once; the last piece may have fewer. Call it once.
   * @throws {FormatError} if the data is damaged, or there is not as much as the shape takes.
   */
  pieces(rows: number): AsyncGenerator<Tensor, void>;
  /** Stop, if not all pieces were read. */
  close(): Promise<void>;
}

/**
 * Read an array's header; its data is read with {@link NpyStream.pieces}.
 * @param chunks the bytes of the file, in order.
 * @throws {FormatError} if it is not a `.npy` file, has no rows, is in Fortran order, or is of a type that is not supported.
 */
export function streamNpy(chunks: AsyncGenerator<Uint8Array, void>, name: string): Promise<NpyStream> {
  const bytes = byteQueue(chunks);
  return closingOnError(bytes, async () => {
    await bytes.wait(LONGEST_HEADER);
    const { descr, fortranOrder, shape, dataOffset } = parseNpyHeader(bytes.first(LONGEST_HEADER), name);
    bytes.take(dataOffset);
    const type = numpyType(descr, name);
    checkedElementCount(shape, name);
    if (shape.length === 0) throw new FormatError(`${name}: is a single value; expected an array of rows`);
    if (fortranOrder && shape.length > 1) {
      throw new FormatError(
        `${name}: is in Fortran order, in which rows cannot be read one by one; save numpy.ascontiguousarray of it`,
      );
    }
    const [count, ...rest] = take(shape, 1);
    const rowBytes = elementCount(rest) * bytesPerElement(type.dtype);
    if (rowBytes > MAX_ROW) {
      throw new FormatError(
        `${name}: a row of ${rowBytes} bytes is larger than ${MAX_ROW}, the most that is read`,
      );
    }
    return {
      dtype: type.dtype,
      shape,
      close: bytes.close,
      async *pieces(rows) {
        for (let start = 0; start < count; start += rows) {
          const length = Math.min(rows, count - start);
          if (!(await bytes.wait(length * rowBytes))) {
            throw new FormatError(`${name}: ends before row ${start + length} of ${count}; it is damaged`);
          }
          yield arrayFromNumpy(type, false, [length, ...rest], bytes.take(length * rowBytes), name);
        }
        if (await bytes.wait(1))
          throw new FormatError(`${name}: has more data than its shape takes; it is damaged`);
      },
    };
  });
}

/** Bytes that come in chunks and are taken in other ones. */
function byteQueue(chunks: AsyncGenerator<Uint8Array, void>) {
  let waiting: Uint8Array = new Uint8Array();
  return {
    /** The first `length` bytes, or all if they are fewer. */
    first: (length: number): Uint8Array => waiting.subarray(0, length),
    /** Wait until there are `length` bytes; false if they end before. */
    async wait(length: number): Promise<boolean> {
      const parts = [waiting];
      let size = waiting.length;
      while (size < length) {
        const { done, value } = await chunks.next();
        if (done) break;
        parts.push(value);
        size += value.length;
      }
      if (parts.length > 1) waiting = joinArrays('uint8', parts);
      return size >= length;
    },
    take(length: number): Uint8Array {
      const taken = waiting.subarray(0, length);
      waiting = waiting.slice(length); // a copy of the rest, which is short, so that what was taken can be freed
      return taken;
    },
    async close(): Promise<void> {
      await chunks.return();
    },
  };
}
