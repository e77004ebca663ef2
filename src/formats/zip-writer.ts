/** @file Stored zip archives of any size, written piece by piece (Node only). What `torch.save` writes. */

import { crc32 } from 'node:zlib';
import type { WriteBytes } from '../io/atomic-write.ts';
import { directoryEnd, directoryHeader, localHeader, type ZipEntry } from './zip-records.ts';

/** A file to store; its content is asked for when its turn comes. */
export interface StoredFile {
  readonly name: string;
  read(): Promise<Uint8Array>;
}

/** zlib counts in 32 bits. */
const LARGEST_CHECKSUM = 2 ** 30;

/** Write an archive of `files`, one in memory at a time. @param alignment of the data of each, in bytes. */
export async function writeStoredZip(
  write: WriteBytes,
  files: Iterable<StoredFile>,
  alignment: number,
): Promise<void> {
  const entries: ZipEntry[] = [];
  let position = 0;
  const append = async (bytes: Uint8Array): Promise<void> => {
    await write(bytes);
    position += bytes.length;
  };
  for (const file of files) {
    const bytes = await file.read();
    const name = new TextEncoder().encode(file.name);
    const entry = { name, crc: checksum(bytes), size: bytes.length, offset: position };
    entries.push(entry);
    await append(localHeader(entry, alignment));
    await append(bytes);
  }
  const start = position;
  for (const entry of entries) await append(directoryHeader(entry));
  await append(directoryEnd(entries.length, start, position));
}

/** The CRC-32 of bytes, or of those before, whose sum is given, and these. */
export function checksum(bytes: Uint8Array, before = 0): number {
  let sum = before;
  for (let start = 0; start < bytes.length; start += LARGEST_CHECKSUM) {
    sum = crc32(bytes.subarray(start, start + LARGEST_CHECKSUM), sum);
  }
  return sum;
}
