/** @file Files on disk as byte sources, and the free space there (Node only). */

import { type BigIntStats, close, fstatSync, open, read, realpathSync } from 'node:fs';
import { stat, statfs } from 'node:fs/promises';
import { basename, dirname } from 'node:path';
import { promisify } from 'node:util';
import { attempt } from '../attempt.ts';
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

/**
 * Open a file for reading. If it is not closed, it is closed once nothing refers to it any more.
 * @throws {FormatError} if it is missing, unreadable or not a regular file; reading throws one if the file has changed since
 * it was opened, since what was read before is of other contents
 */
export async function openFile(path: string): Promise<ByteSource> {
  const fd = await openDescriptor(path, 'r').catch((cause: NodeJS.ErrnoException) => {
    throw new FormatError(`${path}: ${openProblems[cause.code ?? ''] ?? cause.message}`, { cause });
  });
  const file = new OpenFile(fd);
  return closingOnError(file, async () => {
    const stats = fstatSync(fd, { bigint: true });
    if (stats.isDirectory()) throw new FormatError(`${path}: ${openProblems.EISDIR}`);
    if (!stats.isFile()) throw new FormatError(`${path}: is not a regular file`);
    return fileSource(file, path, stats);
  });
}

const openDescriptor = promisify(open);
const readDescriptor = promisify(read);
const closeDescriptor = promisify(close);

/** Closes files that were not closed before nothing referred to them any more. */
const forgotten = new FinalizationRegistry((fd: number) => close(fd, () => {}));

/**
 * An open file. Node's own `FileHandle` is not used, since it prints a warning where a program ends, or forgets a file,
 * without closing it.
 */
class OpenFile {
  readonly #fd: number;
  readonly #reading = new Set<Promise<unknown>>();
  #closed: Promise<void> | undefined;

  constructor(fd: number) {
    this.#fd = fd;
    forgotten.register(this, fd, this);
  }

  /** Reads from `position` until `bytes` is full or the file ends. @returns the number of bytes read, and the file's state */
  async read(bytes: Uint8Array, position: number): Promise<{ done: number; stats: BigIntStats }> {
    if (this.#closed) throw new Error('the file is closed');
    const reading = fill(this.#fd, bytes, position);
    this.#reading.add(reading);
    try {
      const done = await reading;
      // Afterwards, since a write changes the time before the contents.
      return { done, stats: fstatSync(this.#fd, { bigint: true }) };
    } finally {
      this.#reading.delete(reading); // this also keeps the file from being closed as forgotten meanwhile
    }
  }

  /** Closes the file once all reads have ended. */
  close(): Promise<void> {
    this.#closed ??= Promise.allSettled(this.#reading).then(() => {
      forgotten.unregister(this);
      return closeDescriptor(this.#fd);
    });
    return this.#closed;
  }
}

function fileSource(file: OpenFile, name: string, opened: BigIntStats): ByteSource {
  return {
    name,
    size: Number(opened.size),
    file: storedFile(name, opened),
    async read(offset, length, room) {
      checkRange(this, offset, length);
      const bytes = room && room.length >= length ? room.subarray(0, length) : allocateBytes(length, name);
      const { done, stats } = await file.read(bytes, offset).catch((cause: Error) => {
        throw new FormatError(`${name}: cannot be read: ${cause.message}`, { cause });
      });
      if (done < length || !isSame(opened, stats, CONTENTS)) {
        throw new FormatError(`${name}: the file has changed since it was opened; start again to use it`);
      }
      return bytes;
    },
    close: () => file.close(),
  };
}

/** Which file it is, and what changes when it is written to. */
const FILE = ['dev', 'ino'] as const;
const CONTENTS = ['size', 'mtimeNs'] as const;

function isSame(one: BigIntStats, other: BigIntStats, keys: readonly (keyof BigIntStats)[]): boolean {
  return keys.every((key) => one[key] === other[key]);
}

function storedFile(path: string, opened: BigIntStats): StoredFile {
  let real: string | undefined;
  const realPath = (): string => {
    // If the file no longer exists, `isUnchanged` detects that.
    real ??= attempt(() => realpathSync(path), path);
    return real;
  };
  return {
    get folder() {
      return dirname(realPath());
    },
    get name() {
      return basename(realPath());
    },
    identity: [...FILE, ...CONTENTS].map((key) => opened[key]).join(' '),
    changed: Number(opened.ctimeNs) / 1e6,
    async isUnchanged() {
      const now = await stat(realPath(), { bigint: true }).catch(() => undefined);
      return now !== undefined && isSame(now, opened, [...FILE, ...CONTENTS]);
    },
  };
}

/** Reads from `position` until `bytes` is full or the file ends. @returns the number of bytes read */
async function fill(fd: number, bytes: Uint8Array, position: number): Promise<number> {
  let done = 0;
  while (done < bytes.length) {
    const length = Math.min(LARGEST_READ, bytes.length - done);
    const { bytesRead } = await readDescriptor(fd, bytes, done, length, position + done);
    if (bytesRead === 0) break;
    done += bytesRead;
  }
  return done;
}

/** Returns what is missing if fewer bytes than needed are free where a folder is; undefined if there is enough space. */
export async function missingSpace(folder: string, needed: number): Promise<string | undefined> {
  const { bavail, bsize, blocks } = await statfs(folder);
  const free = bavail * bsize;
  if (blocks === 0 || free >= needed) return undefined; // some file systems do not state it
  return `${formatBytes(needed)} are needed in ${folder}, and ${formatBytes(free)} are free`;
}
