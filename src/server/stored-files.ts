/** @file Files that are kept for a while in memory, for clients to come and get. */

import { randomUUID } from 'node:crypto';

/** A file in memory, with its media type. */
export interface StoredFile {
  readonly bytes: Uint8Array;
  readonly type: string;
}

/** Files that are kept for a while, to be fetched by address. */
export type FileStore = ReturnType<typeof createFileStore>;

/** How much is kept, and how long. */
export interface FileStoreOptions {
  /** Bytes of all files; the oldest make room. */
  readonly capacity: number;
  /** Seconds that a file is kept. */
  readonly lifetime: number;
  /** The time in milliseconds; for tests. */
  readonly now?: () => number;
}

/** Makes a store with no files. */
export function createFileStore({ capacity, lifetime, now = Date.now }: FileStoreOptions) {
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
    /** Keeps a file; returns a name that cannot be guessed. */
    add(file: StoredFile): string {
      const name = randomUUID();
      size += file.bytes.length;
      files.set(name, { ...file, expires: now() + lifetime * 1000 });
      tidy();
      return name;
    },
    /** Returns the file, while it is kept. */
    get(name: string): StoredFile | undefined {
      tidy();
      return files.get(name);
    },
  };
}
