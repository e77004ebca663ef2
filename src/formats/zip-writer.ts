/**
 * @file Stored zip archives of any size, written piece by piece (Node only), as `torch.save` and `numpy.savez` write them:
 * zip64 only where 32 bits do not suffice; each file's content aligned, so that it can be mapped into memory.
 */

import { crc32 } from 'node:zlib';
import type { WriteBytes } from '../io/atomic-write.ts';
import { joinArrays } from '../tensor/axes.ts';

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

/** What the directory at the end says of a file. */
export interface ZipEntry {
  readonly name: Uint8Array;
  readonly crc: number;
  readonly size: number;
  readonly offset: number;
}

const LOCAL_HEADER = 0x04034b50;
const DIRECTORY_HEADER = 0x02014b50;
const DIRECTORY_END = 0x06054b50;
const DIRECTORY_END_64 = 0x06064b50;
const DIRECTORY_LOCATOR_64 = 0x07064b50;
const LOCAL_HEADER_LENGTH = 30;

const PLAIN_VERSION = 20;
const ZIP64_VERSION = 45;
const UTF8_NAMES = 0x0800;
/** 1980-01-01, so that an archive's bytes depend on nothing but its files. */
const DATE = 0x0021;
const ZIP64_FIELD = 1;
/** The extra field that PyTorch pads with. */
const PADDING_FIELD = 0x4246;
const FIELD_HEADER = 4;

/** Bytes of an archive's comment. */
export const LONGEST_COMMENT = 0xffff;

/** The largest number of 32 and of 16 bits mean "see zip64". */
const MAX_32 = 0xffffffff;
const MAX_16 = 0xffff;

/** A number and the bytes it takes, lowest first. */
type Field = readonly [value: number, bytes: 2 | 4 | 8];

function packed(...fields: Field[]): Uint8Array {
  const out = new Uint8Array(fields.reduce((sum, [, bytes]) => sum + bytes, 0));
  const view = new DataView(out.buffer);
  let position = 0;
  for (const [value, bytes] of fields) {
    if (bytes === 2) view.setUint16(position, value, true);
    else if (bytes === 4) view.setUint32(position, value, true);
    else view.setBigUint64(position, BigInt(value), true);
    position += bytes;
  }
  return out;
}

/** Numbers that do not fit into 32 bits, as an extra field; empty if all do. */
function zip64Field(...numbers: number[]): Uint8Array {
  const large = numbers.filter((number) => number >= MAX_32);
  if (large.length === 0) return new Uint8Array();
  return packed([ZIP64_FIELD, 2], [8 * large.length, 2], ...large.map((number): Field => [number, 8]));
}

/** What a file's header and its entry in the directory both say. @param extra bytes of its extra fields. */
function commonFields({ name, crc, size }: ZipEntry, extra: number): Field[] {
  const stored = Math.min(size, MAX_32);
  return [
    [UTF8_NAMES, 2],
    [0, 2], // stored
    [0, 2], // time
    [DATE, 2],
    [crc, 4],
    [stored, 4],
    [stored, 4],
    [name.length, 2],
    [extra, 2],
  ];
}

/** What comes before a file's content. @param alignment of the content, in bytes. */
export function localHeader(entry: ZipEntry, alignment: number): Uint8Array {
  const { name, size, offset } = entry;
  const zip64 = zip64Field(size, size);
  const padding = paddingField(offset + LOCAL_HEADER_LENGTH + name.length + zip64.length, alignment);
  const header = packed(
    [LOCAL_HEADER, 4],
    [zip64.length > 0 ? ZIP64_VERSION : PLAIN_VERSION, 2],
    ...commonFields(entry, zip64.length + padding.length),
  );
  return joinArrays('uint8', [header, name, zip64, padding]);
}

/** An extra field after which `position` is a multiple of `alignment`. */
function paddingField(position: number, alignment: number): Uint8Array {
  const length = (alignment - ((position + FIELD_HEADER) % alignment)) % alignment;
  return joinArrays('uint8', [packed([PADDING_FIELD, 2], [length, 2]), new Uint8Array(length).fill(0x5a)]);
}

/** What the directory says of a file. */
export function directoryHeader(entry: ZipEntry): Uint8Array {
  const { name, size, offset } = entry;
  const zip64 = zip64Field(size, size, offset);
  const version = zip64.length > 0 ? ZIP64_VERSION : PLAIN_VERSION;
  const header = packed(
    [DIRECTORY_HEADER, 4],
    [version, 2], // made by
    [version, 2], // needed
    ...commonFields(entry, zip64.length),
    [0, 2], // comment
    [0, 2], // disk
    [0, 2], // internal attributes
    [0, 4], // external attributes
    [Math.min(offset, MAX_32), 4],
  );
  return joinArrays('uint8', [header, name, zip64]);
}

/**
 * What ends an archive whose directory lies between `start` and `end`.
 * @param comment of the archive, up to {@link LONGEST_COMMENT} bytes.
 */
export function directoryEnd(
  count: number,
  start: number,
  end: number,
  comment: Uint8Array = new Uint8Array(),
): Uint8Array {
  const size = end - start;
  const large = count >= MAX_16 || start >= MAX_32 || size >= MAX_32;
  const ending = packed(
    [DIRECTORY_END, 4],
    [0, 2], // this disk
    [0, 2], // the directory's disk
    [Math.min(count, MAX_16), 2],
    [Math.min(count, MAX_16), 2],
    [Math.min(size, MAX_32), 4],
    [Math.min(start, MAX_32), 4],
    [comment.length, 2],
  );
  return joinArrays('uint8', [...(large ? [directoryEnd64(count, start, end)] : []), ending, comment]);
}

function directoryEnd64(count: number, start: number, end: number): Uint8Array {
  return packed(
    [DIRECTORY_END_64, 4],
    [44, 8], // bytes of this record after this field
    [ZIP64_VERSION, 2],
    [ZIP64_VERSION, 2],
    [0, 4],
    [0, 4],
    [count, 8],
    [count, 8],
    [end - start, 8],
    [start, 8],
    [DIRECTORY_LOCATOR_64, 4],
    [0, 4],
    [end, 8],
    [1, 4],
  );
}
