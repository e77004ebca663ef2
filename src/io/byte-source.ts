/** @file Random access to the bytes of a file, a Blob or memory, so that readers fetch only what they need. */

import { FormatError } from '../errors.ts';

/** A file on disk that others may read too, while it is the one that was opened. */
export interface StoredFile {
  readonly folder: string;
  readonly name: string;
  /** Differs for any other file, and for the same file once it was written to. */
  readonly identity: string;
  /** When its contents or properties had last changed when it was opened, in milliseconds since 1970. */
  readonly changed: number;
  /** Whether its path still leads to the file that was opened, and that was not written to since. */
  isUnchanged(): Promise<boolean>;
}

/** Where some bytes are on disk. */
export interface FilePlace {
  readonly file: StoredFile;
  readonly offset: number;
}

/** Something that can be read by byte ranges. */
export interface ByteSource {
  /** What to call it in messages: a path or a URL. */
  readonly name: string;
  /** Length in bytes. */
  readonly size: number;
  /** The file that its bytes are those of, if there is one. */
  readonly file?: StoredFile;
  /**
   * Read exactly `length` bytes from `offset` into a buffer of their own, which the caller may keep and change.
   * @param room where a source may put the bytes instead, if it can and they fit: loading a large model into the same
   * memory again and again keeps the process small.
   * @throws {FormatError} if the range is not inside the source or cannot be read.
   */
  read(offset: number, length: number, room?: Uint8Array): Promise<Uint8Array>;
  /** Free what the source holds. It cannot be read afterwards. */
  close(): Promise<void>;
}

/**
 * Check that a range lies inside a source. Every source does so before it reads.
 * @throws {FormatError} if it does not.
 */
export function checkRange(source: Pick<ByteSource, 'name' | 'size'>, offset: number, length: number): void {
  const end = offset + length;
  if (!(Number.isSafeInteger(offset) && Number.isSafeInteger(length)) || offset < 0 || length < 0) {
    throw new FormatError(
      `${source.name}: ${length} bytes at ${offset} is not a valid range: the file is damaged`,
    );
  }
  if (end > source.size) {
    throw new FormatError(
      `${source.name}: needs bytes ${offset} to ${end} but the file ends at ${source.size}: it is truncated or damaged`,
    );
  }
}

/** A fresh buffer for data read from `name`. @throws {FormatError} if there is no memory for it. */
export function allocateBytes(length: number, name: string): Uint8Array<ArrayBuffer> {
  try {
    return new Uint8Array(length);
  } catch (cause) {
    throw new FormatError(`${name}: there is no memory for a piece of ${length} bytes`, { cause });
  }
}

/** Bytes in memory as a source. */
export function bytesSource(bytes: Uint8Array, name = 'bytes'): ByteSource {
  return {
    name,
    size: bytes.byteLength,
    async read(offset, length) {
      checkRange(this, offset, length);
      return new Uint8Array(bytes.subarray(offset, offset + length)); // a Buffer's own slice would share memory
    },
    async close() {},
  };
}

/** A Blob or File as a source. */
export function blobSource(blob: Blob, name = 'name' in blob ? String(blob.name) : 'blob'): ByteSource {
  return {
    name,
    size: blob.size,
    async read(offset, length) {
      checkRange(this, offset, length);
      try {
        return new Uint8Array(await blob.slice(offset, offset + length).arrayBuffer());
      } catch (cause) {
        throw new FormatError(`${name}: cannot be read: ${String(cause)}`, { cause });
      }
    },
    async close() {},
  };
}

/** What is open until it is closed or disposed of: a file, a lock, a device, a program. */
type Open = { close(): Promise<void> } | { dispose(): Promise<void> };

function close(resource: Open): Promise<void> {
  return 'close' in resource ? resource.close() : resource.dispose();
}

/** Open `source` with `open`, closing it if that fails. */
export async function closingOnError<T>(source: Open, open: () => Promise<T>): Promise<T> {
  try {
    return await open();
  } catch (error) {
    await close(source);
    throw error;
  }
}

/** Does some work with something that is open, and closes it in any case. */
export async function closingAfter<R extends Open, T>(
  resource: R,
  work: (resource: R) => Promise<T>,
): Promise<T> {
  try {
    return await work(resource);
  } finally {
    await close(resource);
  }
}
