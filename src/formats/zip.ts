/** @file Zip archives read by ranges, and written, over zip.js: what `.npz` and PyTorch checkpoints are made of. */

import {
  ERR_EOCDR_NOT_FOUND,
  type FileEntry,
  Reader,
  Uint8ArrayReader,
  Uint8ArrayWriter,
  ZipReader,
  ZipWriter,
} from '@zip.js/zip.js';
import { FormatError } from '../errors.ts';
import { type ByteSource, checkRange } from './byte-source.ts';
import { printable } from './printable.ts';

/** A file in a zip archive. */
export interface ZipMember {
  readonly name: string;
  /** Length in bytes once inflated. */
  readonly size: number;
  /**
   * The whole content, inflated and checked against its CRC.
   * @throws {FormatError} if it is damaged.
   */
  read(): Promise<Uint8Array>;
  /**
   * Part of the content. Read straight from the archive, with no CRC, unless the member is compressed.
   * @param room memory that may be filled, as for {@link ByteSource.read}.
   * @throws {FormatError} if it is damaged or the range lies outside it.
   */
  readRange(offset: number, length: number, room?: Uint8Array): Promise<Uint8Array>;
  /**
   * The content in small pieces, in order, inflated and, at its end, checked against its CRC; for members of any size.
   * @throws {FormatError} if it is damaged.
   */
  stream(): AsyncGenerator<Uint8Array, void>;
}

const LOCAL_HEADER_SIGNATURE = 0x04034b50;
const LOCAL_HEADER_LENGTH = 30;
/** Deflate cannot make data smaller than this. */
const MAX_DEFLATE_RATIO = 1032;

/** `torch.serialization.set_crc32_options(False)` makes PyTorch write this. */
const NO_CRC = 0;
/** The directory of a checkpoint with 100,000 storages takes less. */
const MAX_DIRECTORY = 16 * 2 ** 20;

const readerOptions = { useWebWorkers: false, checkCrc32: true };

/**
 * The files of a zip archive (zip64 as well) by name.
 * @throws {FormatError} if it is no zip archive, is damaged or encrypted, or names a file twice.
 */
export async function openZip(source: ByteSource): Promise<Map<string, ZipMember>> {
  const entries = await zipErrors(source, () =>
    new ZipReader(new SourceReader(source), readerOptions).getEntries(),
  );
  const members = new Map<string, ZipMember>();
  for (const entry of entries) {
    if (entry.directory) continue;
    if (members.has(entry.filename)) {
      throw new FormatError(
        `${source.name}: holds '${printable(entry.filename)}' twice; it is damaged or malicious`,
      );
    }
    members.set(entry.filename, zipMember(source, entry));
  }
  return members;
}

/** The comment of a zip archive; empty if it has none. @throws {FormatError} if it is no zip archive. */
export async function zipComment(source: ByteSource): Promise<string> {
  const reader = new ZipReader(new SourceReader(source), readerOptions);
  await zipErrors(source, () => reader.getEntries());
  return new TextDecoder().decode(reader.comment);
}

/** Files as a zip archive. Its bytes depend on nothing but the files. */
export async function encodeZip(
  files: Iterable<[string, Uint8Array]>,
  compress: boolean,
): Promise<Uint8Array> {
  const writer = new ZipWriter(new Uint8ArrayWriter(), {
    useWebWorkers: false,
    level: compress ? 6 : 0,
    extendedTimestamp: false,
    lastModDate: new Date(1980, 0, 1),
  });
  for (const [name, bytes] of files) await writer.add(name, new Uint8ArrayReader(bytes));
  return writer.close();
}

/** Lets zip.js read from a byte source. */
class SourceReader extends Reader<ByteSource> {
  readonly source: ByteSource;

  constructor(source: ByteSource) {
    super(source);
    this.source = source;
    this.size = source.size;
  }

  override readUint8Array(index: number, length: number): Promise<Uint8Array> {
    const available = Math.max(0, Math.min(length, this.source.size - index));
    if (available > MAX_DIRECTORY) {
      throw new FormatError(`${this.source.name}: its directory of ${available} bytes is absurdly large`);
    }
    return this.source.read(index, available);
  }
}

function zipMember(source: ByteSource, entry: FileEntry): ZipMember {
  const where = { name: `${source.name}/${printable(entry.filename)}`, size: entry.uncompressedSize };
  checkEntry(source, entry, where.name);
  const isStored = entry.compressionMethod === 0;
  const readStored = async (offset: number, length: number, room?: Uint8Array) =>
    source.read((await dataOffset(source, entry)) + offset, length, room);
  const read = () => {
    if (isStored && entry.crc32 === NO_CRC) return readStored(0, where.size);
    return zipErrors(
      source,
      () => entry.getData(new Uint8ArrayWriter(), readerOptions),
      printable(entry.filename),
    );
  };
  return {
    name: entry.filename,
    size: where.size,
    read,
    async readRange(offset, length, room) {
      checkRange(where, offset, length);
      if (isStored) return readStored(offset, length, room);
      return (await read()).slice(offset, offset + length);
    },
    stream: () => streamEntry(source, entry),
  };
}

async function* streamEntry(source: ByteSource, entry: FileEntry): AsyncGenerator<Uint8Array, void> {
  const { readable, writable } = new TransformStream<Uint8Array, Uint8Array>();
  const options = { ...readerOptions, checkCrc32: entry.crc32 !== NO_CRC };
  const written = zipErrors(source, () => entry.getData(writable, options), printable(entry.filename));
  const ended = written.then(
    () => undefined,
    async (error: unknown) => {
      await writable.abort(error).catch(() => {}); // by now it may have failed by itself
      return error;
    },
  );
  const reader = readable.getReader();
  try {
    for (let piece = await reader.read(); !piece.done; piece = await reader.read()) yield piece.value;
  } catch (error) {
    throw (await ended) ?? error; // which knows the file
  } finally {
    // Whoever stops early may close the source next.
    await reader.cancel().catch(() => {});
    await ended;
  }
  const error = await ended;
  if (error !== undefined) throw error;
}

function checkEntry(source: ByteSource, entry: FileEntry, name: string): void {
  const { compressedSize, uncompressedSize, compressionMethod, offset, encrypted } = entry;
  if (encrypted) throw new FormatError(`${name}: is encrypted; decrypt the archive first`);
  checkRange(source, offset, compressedSize);
  const largest = compressionMethod === 0 ? compressedSize : compressedSize * MAX_DEFLATE_RATIO;
  if (uncompressedSize > largest || (compressionMethod === 0 && uncompressedSize < compressedSize)) {
    throw new FormatError(
      `${name}: ${compressedSize} bytes cannot hold its ${uncompressedSize}; it is damaged`,
    );
  }
}

/** Where a stored member's data starts: after its local header, whose length may differ from the directory's. */
async function dataOffset(source: ByteSource, entry: FileEntry): Promise<number> {
  const header = await source.read(entry.offset, LOCAL_HEADER_LENGTH);
  const view = new DataView(header.buffer, header.byteOffset, header.byteLength);
  if (view.getUint32(0, true) !== LOCAL_HEADER_SIGNATURE || view.getUint16(8, true) !== 0) {
    throw new FormatError(`${source.name}/${printable(entry.filename)}: its local header is damaged`);
  }
  const offset = entry.offset + LOCAL_HEADER_LENGTH + view.getUint16(26, true) + view.getUint16(28, true);
  checkRange(source, offset, entry.compressedSize);
  return offset;
}

async function zipErrors<T>(source: ByteSource, action: () => Promise<T>, member?: string): Promise<T> {
  try {
    return await action();
  } catch (cause) {
    if (cause instanceof FormatError) throw cause;
    const where = member === undefined ? source.name : `${source.name}/${member}`;
    const { message } = cause as Error;
    throw new FormatError(
      message === ERR_EOCDR_NOT_FOUND
        ? `${where}: is cut off: a zip archive ends with a directory, and it does not; get the whole file`
        : `${where}: is no readable zip archive: ${message}`,
      { cause },
    );
  }
}
