/** @file Zip archives read by ranges, and written, over zip.js: what `.npz` and PyTorch checkpoints are made of. */

import {
  type Entry,
  ERR_EOCDR_NOT_FOUND,
  type FileEntry,
  Reader,
  Uint8ArrayReader,
  Uint8ArrayWriter,
  ZipReader,
  ZipWriter,
} from '@zip.js/zip.js';
import { FormatError } from '../errors.ts';
import { type ByteSource, checkRange } from '../io/byte-source.ts';
import { printable } from '../io/printable.ts';

/** A file in a zip archive. */
export interface ZipMember {
  readonly name: string;
  /** Length in bytes once inflated. */
  readonly size: number;
  /** CRC-32 of the content, as the archive records it. */
  readonly crc: number;
  /** The whole content, inflated and checked against its CRC. @throws {FormatError} if it is damaged. */
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
/** Max files in an archive. Checkpoints with optimizer states have a few thousand; each costs about 8 kB of memory. */
export const MAX_MEMBERS = 20_000;
/** Max bytes of the directory; that many storages take less. */
const MAX_DIRECTORY = 16 * 2 ** 20;
/**
 * Max bytes of a file that is compressed to less than an eighth and read as a whole: a small archive must
 * not cost much memory. The numbers of a network hardly compress.
 */
export const MAX_INFLATED = 256 * 2 ** 20;
const MAX_RATIO = 8;

const readerOptions = { useWebWorkers: false, checkCrc32: true };

/**
 * The files of a zip archive (zip64 as well) by name.
 * @throws {FormatError} if it is not a zip archive, is damaged or encrypted, names a file twice, or holds more than
 * 20,000 files.
 */
export async function openZip(source: ByteSource): Promise<Map<string, ZipMember>> {
  const { entries } = await readDirectory(source);
  const members = new Map<string, ZipMember>();
  const extractPart = keepingLast((entry) => extract(source, entry));
  for (const entry of entries) {
    if (entry.directory) continue;
    if (members.has(entry.filename)) {
      throw new FormatError(
        `${source.name}: holds '${printable(entry.filename)}' twice; it is damaged or malicious`,
      );
    }
    members.set(entry.filename, zipMember(source, entry, extractPart));
  }
  return members;
}

/** The comment of a zip archive; empty if it has none. @throws {FormatError} if it is not a zip archive. */
export async function zipComment(source: ByteSource): Promise<string> {
  return new TextDecoder().decode((await readDirectory(source)).comment);
}

/** Reads the directory entry by entry, so that one with too many is refused before it fills the memory. */
function readDirectory(source: ByteSource): Promise<{ entries: Entry[]; comment: Uint8Array }> {
  return zipErrors(source, async () => {
    const reader = new ZipReader(new SourceReader(source), readerOptions);
    const entries: Entry[] = [];
    for await (const entry of reader.getEntriesGenerator()) {
      if (entries.length === MAX_MEMBERS) {
        throw new FormatError(`${source.name}: holds more than ${MAX_MEMBERS} files, the most that are read`);
      }
      entries.push(entry);
    }
    return { entries, comment: reader.comment };
  });
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
      throw new FormatError(
        `${this.source.name}: its directory of ${available} bytes is larger than ${MAX_DIRECTORY}, the most that is read`,
      );
    }
    return this.source.read(index, available);
  }
}

/** Reads the whole content of a file, inflated and checked. */
async function extract(source: ByteSource, entry: FileEntry): Promise<Uint8Array> {
  const name = printable(entry.filename);
  if (entry.uncompressedSize > Math.max(MAX_INFLATED, MAX_RATIO * entry.compressedSize)) {
    throw new FormatError(
      `${source.name}/${name}: inflates to ${entry.uncompressedSize} bytes, more than the limit of ` +
        `${MAX_INFLATED} for compressed data; save it uncompressed (numpy.savez, torch.save)`,
    );
  }
  return zipErrors(source, () => entry.getData(new Uint8ArrayWriter(), readerOptions), name);
}

type Extract = (entry: FileEntry) => Promise<Uint8Array>;

/** Keeps the last content: parts of a file are often read one after the other, and inflating it each time is slow. */
function keepingLast(read: Extract): Extract {
  let last: { entry: FileEntry; content: Promise<Uint8Array> } | undefined;
  return (entry) => {
    if (last?.entry !== entry) last = { entry, content: read(entry) };
    return last.content;
  };
}

function zipMember(source: ByteSource, entry: FileEntry, extractPart: Extract): ZipMember {
  const where = { name: `${source.name}/${printable(entry.filename)}`, size: entry.uncompressedSize };
  checkEntry(source, entry, where.name);
  const isStored = entry.compressionMethod === 0;
  const readStored = async (offset: number, length: number, room?: Uint8Array) =>
    source.read((await dataOffset(source, entry)) + offset, length, room);
  return {
    name: entry.filename,
    size: where.size,
    crc: entry.crc32 ?? NO_CRC,
    read: () => (isStored && entry.crc32 === NO_CRC ? readStored(0, where.size) : extract(source, entry)),
    async readRange(offset, length, room) {
      checkRange(where, offset, length);
      if (isStored) return readStored(offset, length, room);
      return (await extractPart(entry)).slice(offset, offset + length);
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
      await writable.abort(error).catch(() => {}); // by now it may have failed on its own
      return error;
    },
  );
  const reader = readable.getReader();
  try {
    for (let piece = await reader.read(); !piece.done; piece = await reader.read()) yield piece.value;
  } catch (error) {
    throw (await ended) ?? error; // which knows the file
  } finally {
    // A reader that stops early may close the source next.
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
        : `${where}: is not a readable zip archive: ${message}`,
      { cause },
    );
  }
}
