/** @file A byte source that counts what is read from it. */

import type { ByteSource } from '../../src/io/byte-source.ts';

/** `source`, and how many bytes were read from it and whether it was closed. */
export function countingSource(source: ByteSource): {
  source: ByteSource;
  bytesRead: number;
  closed: boolean;
} {
  const counts = {
    bytesRead: 0,
    closed: false,
    source: {
      ...source,
      read(offset: number, length: number) {
        counts.bytesRead += length;
        return source.read(offset, length);
      },
      async close() {
        counts.closed = true;
        await source.close();
      },
    },
  };
  return counts;
}
