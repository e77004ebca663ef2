/**
 * @file Checksums as the hub names files: SHA-256 of large files, git's object name (SHA-1) of small ones. Reading
 * gigabytes takes seconds, so a note records which file of the cache was checked. It is kept outside the cache, which
 * others may be able to write to.
 */

import { createHash } from 'node:crypto';
import type { BigIntStats } from 'node:fs';
import { type FileHandle, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { makeFolders, writeFileAtomically } from '../io/atomic-write.ts';
import { closingAfter } from '../io/byte-source.ts';
import { openBlob } from './cache.ts';
import type { Hub, HubFile } from './connection.ts';

/** A checksum in hexadecimal digits: 64 are SHA-256, 40 are git's. */
export const CHECKSUM = /^(?:[0-9a-f]{40}|[0-9a-f]{64})$/;

const CHUNK = 2 ** 22;

/** Is this what the first `size` bytes of a file's content on the disk add up to? */
export async function hasChecksum(
  file: HubFile,
  content: FileHandle,
  size: number,
  checksum: string,
): Promise<boolean> {
  const isSha256 = checksum.length === 64;
  const hash = isSha256 ? createHash('sha256') : createHash('sha1').update(`blob ${size}\0`);
  const buffer = new Uint8Array(Math.min(CHUNK, size));
  for (let done = 0; done < size; ) {
    file.hub.signal?.throwIfAborted();
    const { bytesRead } = await content.read(buffer, 0, Math.min(buffer.length, size - done), done);
    if (bytesRead === 0) return false;
    hash.update(buffer.subarray(0, bytesRead));
    done += bytesRead;
    file.emit({ kind: 'verify', done, size });
  }
  return hash.digest('hex') === checksum;
}

/** @throws {HubError} if the file is a link or not a regular file */
export async function isGenuine(file: HubFile, path: string, checksum: string): Promise<boolean> {
  return closingAfter(await openBlob(path, 'read'), async (content) => {
    const stats = await content.stat({ bigint: true });
    if (await isNoted(file.hub, checksum, stats)) return true;
    if (!(await hasChecksum(file, content, Number(stats.size), checksum))) return false;
    await note(file.hub, checksum, stats);
    return true;
  });
}

/** Remember that a file was just checked. */
export async function noteGenuine(hub: Hub, path: string, checksum: string): Promise<void> {
  await closingAfter(await openBlob(path, 'read'), async (content) =>
    note(hub, checksum, await content.stat({ bigint: true })),
  );
}

/** A file's content cannot change without the time of its last change. */
function identity({ dev, ino, size, mtimeNs, ctimeNs }: BigIntStats): string {
  return [dev, ino, size, mtimeNs, ctimeNs].join(' ');
}

async function isNoted({ settings }: Hub, checksum: string, stats: BigIntStats): Promise<boolean> {
  const text = await readFile(join(settings.checked, checksum), 'utf8').catch(() => undefined);
  return text === identity(stats);
}

/** Stores a note; without one, the file is read again the next time. */
async function note({ settings }: Hub, checksum: string, stats: BigIntStats): Promise<void> {
  const write = async (): Promise<void> => {
    await makeFolders(settings.checked);
    await writeFileAtomically(join(settings.checked, checksum), (write) =>
      write(Buffer.from(identity(stats))),
    );
  };
  await write().catch(() => undefined);
}
