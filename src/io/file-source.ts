/** @file Files on disk as byte sources, and the free space there (Node only). */

import type { Stats } from 'node:fs';
import { type FileHandle, open, realpath, stat, statfs } from 'node:fs/promises';
import { basename, dirname } from 'node:path';
import { FormatError } from '../errors.ts';
import {
  allocateBytes,
  type ByteSource,
  checkRange,
  closingOnError,
  type StoredFile,
} from './byte-source.ts';
import { formatBytes } from './quantities.ts';

/** One system call reads at most 2^31 - 1 bytes. */
const LARGEST_READ = 2 ** 30;

const openProblems: Record<string, string> = {
  ENOENT: 'there is no such file',
  ENOTDIR: 'there is no such file',
  EACCES: 'this user may not read it',
  EPERM: 'this user may not read it',
  EISDIR: 'is a directory; give the path of a file in it',
};

/** Whether a path leads to a file. */
export async function isFile(path: string): Promise<boolean> {
  return (await stat(path).catch(() => undefined))?.isFile() ?? false;
}

/** Open a file for reading. @throws {FormatError} if it is missing, unreadable or not a regular file. */
export async function openFile(path: string): Promise<ByteSource> {
  const file = await open(path, 'r').catch((cause: NodeJS.ErrnoException) => {
    throw new FormatError(`${path}: ${openProblems[cause.code ?? ''] ?? cause.message}`, { cause });
  });
  return closingOnError(file, async () => {
    const stats = await file.stat();
    if (stats.isDirectory()) throw new FormatError(`${path}: ${openProblems.EISDIR}`);
    if (!stats.isFile()) throw new FormatError(`${path}: is not a regular file`);
    return fileSource(file, path, stats.size, storedFile(await realpath(path), stats));
  });
}

function storedFile(path: string, opened: Stats): StoredFile {
  return {
    folder: dirname(path),
    name: basename(path),
    async isUnchanged() {
      const now = await stat(path).catch(() => undefined);
      return (
        now !== undefined &&
        (['dev', 'ino', 'size', 'mtimeMs'] as const).every((key) => now[key] === opened[key])
      );
    },
  };
}

function fileSource(file: FileHandle, name: string, size: number, stored: StoredFile): ByteSource {
  let closing: Promise<void> | undefined;
  return {
    name,
    size,
    file: stored,
    async read(offset, length, room) {
      checkRange(this, offset, length);
      const bytes = room && room.length >= length ? room.subarray(0, length) : allocateBytes(length, name);
      await fill(file, name, bytes, offset);
      return bytes;
    },
    close() {
      closing ??= file.close();
      return closing;
    },
  };
}

/** Read from `position` until `bytes` is full. */
async function fill(file: FileHandle, name: string, bytes: Uint8Array, position: number): Promise<void> {
  let done = 0;
  while (done < bytes.length) {
    const length = Math.min(LARGEST_READ, bytes.length - done);
    const { bytesRead } = await file.read(bytes, done, length, position + done).catch((cause: Error) => {
      throw new FormatError(`${name}: cannot be read: ${cause.message}`, { cause });
    });
    if (bytesRead === 0) {
      throw new FormatError(`${name}: ended at byte ${position + done} while being read: did it change?`);
    }
    done += bytesRead;
  }
}

/** Returns what is missing if fewer bytes than needed are free where a folder is; undefined if there is enough space. */
export async function missingSpace(folder: string, needed: number): Promise<string | undefined> {
  const { bavail, bsize, blocks } = await statfs(folder);
  const free = bavail * bsize;
  if (blocks === 0 || free >= needed) return undefined; // some file systems do not state it
  return `${formatBytes(needed)} are needed in ${folder}, and ${formatBytes(free)} are free`;
}
