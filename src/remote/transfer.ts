/** @file Values whose typed arrays move to the other end instead of being copied. */

/** A value, and the memory that goes with it. Made by {@link transferred}. */
export class Transferred<T> {
  readonly value: T;
  readonly buffers: readonly ArrayBuffer[];

  constructor(value: T, buffers: readonly ArrayBuffer[]) {
    this.value = value;
    this.buffers = buffers;
  }
}

/**
 * Marks the arrays of a value as no longer needed at this end. Between threads their whole buffers move; between processes
 * they are copied.
 */
export function transferred<T>(value: T, arrays: readonly ArrayBufferView[]): Transferred<T> {
  return new Transferred(value, buffersOf(arrays));
}

/** Returns the buffers that a transport can move, each once. Shared memory is not among them. */
function buffersOf(arrays: readonly ArrayBufferView[]): ArrayBuffer[] {
  const buffers = new Set(arrays.map(({ buffer }) => buffer));
  return [...buffers].filter((buffer) => buffer instanceof ArrayBuffer);
}
