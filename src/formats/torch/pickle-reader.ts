/** @file The bytes of a pickle as numbers, strings and slices, each read checked against the end. */

import { FormatError } from '../../errors.ts';

/** Python integers beyond this many bytes serve no purpose in a checkpoint. */
const MAX_LONG_BYTES = 1024;

const utf8 = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });

/** The bytes end before the pickle does. */
export class TruncatedPickle extends FormatError {}

/** Reads a pickle's bytes in order. */
export class PickleReader {
  readonly #bytes: Uint8Array;
  readonly #view: DataView;
  readonly #name: string;
  #position: number;

  constructor(bytes: Uint8Array, name: string, start = 0) {
    this.#bytes = bytes;
    this.#view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    this.#name = name;
    this.#position = start;
  }

  /** Where the next byte is read. */
  get position(): number {
    return this.#position;
  }

  /** A FormatError that says where in the pickle the problem is. */
  problem(what: string): FormatError {
    return new FormatError(this.#described(what));
  }

  uint8(): number {
    return this.#view.getUint8(this.#advance(1));
  }

  uint16(): number {
    return this.#view.getUint16(this.#advance(2), true);
  }

  uint32(): number {
    return this.#view.getUint32(this.#advance(4), true);
  }

  int32(): number {
    return this.#view.getInt32(this.#advance(4), true);
  }

  /** A 64-bit length. Beyond 2^53 it is inexact, but then it is beyond the end anyway. */
  uint64(): number {
    return Number(this.#view.getBigUint64(this.#advance(8), true));
  }

  /** Python's binary floats are big-endian. */
  float64(): number {
    return this.#view.getFloat64(this.#advance(8), false);
  }

  /** A copy, so that a small piece does not keep the whole pickle alive. */
  bytes(length: number): Uint8Array {
    const start = this.#advance(length);
    return this.#bytes.slice(start, start + length);
  }

  text(length: number): string {
    const start = this.#advance(length);
    try {
      return utf8.decode(this.#bytes.subarray(start, start + length));
    } catch {
      throw this.problem('a string is not valid UTF-8');
    }
  }

  /** Up to the next newline, which is passed over. */
  line(): string {
    const end = this.#bytes.indexOf(0x0a, this.#position);
    if (end < 0) throw new TruncatedPickle(this.#described('a line never ends'));
    const line = this.text(end - this.#position);
    this.#position++;
    return line;
  }

  /** A little-endian two's complement integer: a number where that is exact, else a bigint. */
  long(length: number): number | bigint {
    if (length > MAX_LONG_BYTES) throw this.problem(`an integer of ${length} bytes is absurd`);
    const digits = Array.from(this.bytes(length).reverse(), (byte) => byte.toString(16).padStart(2, '0'));
    const signed = BigInt.asIntN(8 * length, BigInt(`0x0${digits.join('')}`));
    return Number.isSafeInteger(Number(signed)) ? Number(signed) : signed;
  }

  /** Check that a frame of `length` bytes fits; frames carry no other meaning. */
  frame(length: number): void {
    if (length > this.#bytes.length - this.#position) {
      throw new TruncatedPickle(this.#described('a frame reaches beyond the end'));
    }
  }

  #advance(length: number): number {
    const start = this.#position;
    if (length > this.#bytes.length - start) {
      throw new TruncatedPickle(this.#described('ends too early: it is truncated'));
    }
    this.#position = start + length;
    return start;
  }

  #described(what: string): string {
    return `${this.#name}: ${what} (near byte ${this.#position} of the pickle)`;
  }
}
