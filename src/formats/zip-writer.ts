/** @file Stored zip archives of any size, written piece by piece (Node only), as `torch.save` and `numpy.savez` write them. */

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

/** What an archive already has, and how it ends. */
export interface StoredZipOptions {
  /** Files that are written (default: none). */
  readonly written?: readonly ZipEntry[];
  /** Bytes that they take. */
  readonly position?: number;
  /** The archive's comment (default: none). */
  readonly comment?: Uint8Array;
}

/**
 * Writes an archive of `files`, one in memory at a time, or the rest of an archive that is begun.
 * @param alignment of the data of each file, in bytes.
 */
export async function writeStoredZip(
  write: WriteBytes,
  files: Iterable<StoredFile>,
  alignment: number,
  { written = [], position = 0, comment }: StoredZipOptions = {},
): Promise<void> {
  const entries = [...written];
  let end = position;
  const append = async (bytes: Uint8Array): Promise<void> => {
    await write(bytes);
    end += bytes.length;
  };
  for (const file of files) {
    const bytes = await file.read();
    const name = new TextEncoder().encode(file.name);
    const entry = { name, crc: checksum(bytes), size: bytes.length, offset: end };
    entries.push(entry);
    await append(localHeader(entry, alignment));
    await append(bytes);
  }
  const start = end;
  for (const entry of entries) await append(directoryHeader(entry));
  await append(directoryEnd(entries.length, start, end, comment));
}

/** The CRC-32 of bytes, or of those before, whose sum is given, and these. */
export function checksum(bytes: Uint8Array, before = 0): number {
  let sum = before;
  for (let start = 0; start < bytes.length; start += LARGEST_CHECKSUM) {
    sum = crc32(bytes.subarray(start, start + LARGEST_CHECKSUM), sum);
  }
  return sum;
}
