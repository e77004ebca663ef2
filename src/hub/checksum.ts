/** @file Checksums as the hub names files: SHA-256 of large files, git's object name (SHA-1) of small ones. */

import { createHash, type Hash } from 'node:crypto';
import type { FileHandle } from 'node:fs/promises';

/** A checksum in hexadecimal digits: 64 are SHA-256, 40 are git's. */
export const CHECKSUM = /^(?:[0-9a-f]{40}|[0-9a-f]{64})$/;

const CHUNK = 2 ** 22;

/** Is this what the first `size` bytes of the file add up to? */
export async function hasChecksum(
  file: FileHandle,
  size: number,
  checksum: string,
  { signal, onProgress }: { signal?: AbortSignal | undefined; onProgress?: (done: number) => void } = {},
): Promise<boolean> {
  const hash = hashFor(checksum, size);
  const buffer = new Uint8Array(Math.min(CHUNK, size));
  for (let done = 0; done < size; ) {
    signal?.throwIfAborted();
    const { bytesRead } = await file.read(buffer, 0, Math.min(buffer.length, size - done), done);
    if (bytesRead === 0) return false;
    hash.update(buffer.subarray(0, bytesRead));
    done += bytesRead;
    onProgress?.(done);
  }
  return hash.digest('hex') === checksum;
}

function hashFor(checksum: string, size: number): Hash {
  return checksum.length === 64 ? createHash('sha256') : createHash('sha1').update(`blob ${size}\0`);
}
