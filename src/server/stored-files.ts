/** @file Files that are kept for a while, for clients to come and get. */

import { randomUUID } from 'node:crypto';

/** A file in memory, with its media type. */
export interface StoredFile {
  readonly bytes: Uint8Array;
  readonly type: string;
}

/** Files that are kept for a while, to be fetched by address. */
export interface FileStore {
  /** Keeps a file; returns a name that cannot be guessed. */
  add(file: StoredFile): Promise<string>;
  /** Returns the file, while it is kept. */
  get(name: string): Promise<StoredFile | undefined>;
}

/** How much is kept, and how long. */
export interface FileStoreOptions {
  /** Bytes of all files; the oldest make room. */
  readonly capacity: number;
  /** Seconds that a file is kept. */
  readonly lifetime: number;
  /** The time in milliseconds; for tests. */
  readonly now?: () => number;
}

/** Makes a store with no files, in the memory of this process. */
export function createFileStore({ capacity, lifetime, now = Date.now }: FileStoreOptions): FileStore {
  /** The oldest first. */
  const files = new Map<string, StoredFile & { readonly expires: number }>();
  let size = 0;
  function remove(name: string): void {
    size -= files.get(name)?.bytes.length ?? 0;
    files.delete(name);
  }
  function tidy(): void {
    for (const [name, { expires }] of files) {
      if (expires > now() && size <= capacity) return; // those that follow are newer
      remove(name);
    }
  }
  return {
    async add(file) {
      const name = randomUUID();
      size += file.bytes.length;
      files.set(name, { ...file, expires: now() + lifetime * 1000 });
      tidy();
      return name;
    },
    async get(name) {
      tidy();
      return files.get(name);
    },
  };
}
