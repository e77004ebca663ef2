/**
 * @file An `.npz` file that takes days to write (Node only). Its first array grows row by row in `PATH.partial`, which is
 * the archive itself but for its end, and a journal beside it says which rows are safe on the disk, and what they were
 * made with. A process may end at any moment: the next one goes on after the rows of the journal. The finished file gets
 * its name at once, and keeps what it was made with as the archive's comment.
 */

import { type FileHandle, open, readFile, rename, rm, stat } from 'node:fs/promises';
import { dirname } from 'node:path';
import { z } from 'zod';
import { ArgumentError, FormatError } from '../errors.ts';
import { bytesPerElement, elementCount, type Tensor } from '../tensor/tensor.ts';
import { explained, flushFolder, writeAll, writeFileAtomically } from './atomic-write.ts';
import { openFile } from './file-source.ts';
import { parseJson, parseJsonOf } from './json.ts';
import { encodeNpy, npyHeader } from './npy.ts';
import { zipComment } from './zip.ts';
import { directoryEnd, directoryHeader, LONGEST_COMMENT, localHeader, type ZipEntry } from './zip-records.ts';
import { checksum } from './zip-writer.ts';

/** What an array is made with, by names that users know. What is written goes on only with the same. */
export type Origin = Readonly<Record<string, unknown>>;

/** The array that grows. */
export interface GrowingArray {
  /** Without `.npy`. */
  readonly name: string;
  readonly dtype: 'uint8' | 'float32';
  /** (rows, ...): the finished array's. */
  readonly shape: readonly number[];
}

export interface GrowingNpz {
  /** Rows that are written. */
  readonly rows: number;
  /** Write rows behind those before. @throws {AcditError} if they cannot be written */
  append(bytes: Uint8Array): Promise<void>;
  /**
   * Write the other arrays, and give the file its name. All rows must be there.
   * @throws {AcditError} if it cannot be written
   */
  finish(others: Readonly<Record<string, Tensor>>): Promise<void>;
  /** Make safe what is written, and close the file. */
  close(): Promise<void>;
}

/** As in PyTorch's archives; a memory page may begin at the elements of an array. */
const ALIGNMENT = 64;
/** Milliseconds of work that may be lost. */
const JOURNAL_INTERVAL = 2000;

const journalSchema = z.object({
  origin: z.record(z.string(), z.unknown()),
  rows: z.number().int().nonnegative(),
  crc: z.number().int().nonnegative(),
});
type Journal = z.infer<typeof journalSchema>;

/** The unfinished file of `path`. */
export function partialFile(path: string): string {
  return `${path}.partial`;
}

function journalFile(path: string): string {
  return `${partialFile(path)}.json`;
}

/**
 * Whether `path` is there, finished.
 * @throws {ArgumentError} if another file of that name is there, or one with another origin.
 */
export async function isFinishedNpz(path: string, { shape }: GrowingArray, origin: Origin): Promise<boolean> {
  if (!(await stat(path).catch(() => undefined))) return false;
  const remedy = 'give another name, or remove it';
  const source = await openFile(path);
  const made = await zipComment(source)
    .then((comment) => parseJson(comment, path, FormatError))
    .catch(() => undefined)
    .finally(() => source.close());
  if (typeof made !== 'object' || made === null) {
    throw new ArgumentError(`${path} is there, and does not say what it was made with; ${remedy}`);
  }
  requireSame(made as Origin, { ...origin, shape }, `${path} is finished, but was made with`, remedy);
  await rm(journalFile(path), { force: true }); // what a process that was killed at its end may have left
  return true;
}

/**
 * Begin a file, or go on with it.
 * @throws {ArgumentError} if it was begun with another origin
 * @throws {FormatError} if what was begun is damaged
 * @throws {AcditError} if it cannot be written
 */
export async function openGrowingNpz(path: string, array: GrowingArray, origin: Origin): Promise<GrowingNpz> {
  const { shape, dtype, name } = array;
  const made: Origin = { ...origin, shape };
  const comment = new TextEncoder().encode(JSON.stringify(made));
  if (comment.length > LONGEST_COMMENT) {
    throw new ArgumentError(`${path}: what it is made with takes ${comment.length} bytes to tell, too many`);
  }
  const partial = partialFile(path);
  const header = npyHeader(dtype, shape);
  const [count, ...row] = shape;
  const rowBytes = elementCount(row) * bytesPerElement(dtype);
  const entryOf = (crc: number): ZipEntry => zipEntry(name, crc, header.length + count * rowBytes, 0);
  const begin = (crc: number): Uint8Array => Buffer.concat([localHeader(entryOf(crc), ALIGNMENT), header]);
  const dataStart = begin(0).length;

  const journal = (await readJournal(path, made)) ?? { origin: made, rows: 0, crc: checksum(header) };
  let { rows, crc } = journal;
  const end = (): number => dataStart + rows * rowBytes;
  // The journal comes first: without it, nobody would know what the rows are.
  if (rows === 0) await writeJournal(path, journal);
  const file = await (rows === 0 ? begun(partial, begin(0)) : reopened(path, end()));
  let saved = { rows, time: Number.NEGATIVE_INFINITY };

  async function put(bytes: Uint8Array, position: number): Promise<void> {
    await explained(partial, () => writeAll(file, bytes, position));
  }
  async function save(): Promise<void> {
    await explained(partial, () => file.sync());
    if (saved.rows !== rows) await writeJournal(path, { origin: made, rows, crc });
    saved = { rows, time: performance.now() };
  }
  let closing: Promise<void> | undefined;
  const close = (): Promise<void> => {
    closing ??= save().finally(() => file.close());
    return closing;
  };

  return {
    get rows() {
      return rows;
    },
    async append(bytes) {
      const added = bytes.length / rowBytes;
      if (!Number.isInteger(added) || rows + added > count) {
        throw new ArgumentError(
          `${path}: ${bytes.length} bytes are no rows of ${rowBytes}, or more than the ${count - rows} that are left`,
        );
      }
      await put(bytes, end());
      crc = checksum(bytes, crc);
      rows += added;
      if (performance.now() - saved.time >= JOURNAL_INTERVAL) await save();
    },
    async finish(others) {
      if (rows !== count) throw new ArgumentError(`${path}: only ${rows} of ${count} rows are written`);
      await put(archiveEnd(entryOf(crc), end(), others, comment), end());
      await put(begin(crc), 0);
      await close();
      await explained(path, () => rename(partial, path));
      await flushFolder(dirname(path));
      await rm(journalFile(path), { force: true });
    },
    close,
  };
}

/** The other arrays and the directory. @param position of the first of these bytes. */
function archiveEnd(
  first: ZipEntry,
  position: number,
  others: Readonly<Record<string, Tensor>>,
  comment: Uint8Array,
): Uint8Array {
  const entries = [first];
  const parts: Uint8Array[] = [];
  let end = position;
  const add = (bytes: Uint8Array): void => {
    parts.push(bytes);
    end += bytes.length;
  };
  for (const [name, value] of Object.entries(others)) {
    const bytes = encodeNpy(value);
    const entry = zipEntry(name, checksum(bytes), bytes.length, end);
    entries.push(entry);
    add(localHeader(entry, ALIGNMENT));
    add(bytes);
  }
  const start = end;
  for (const entry of entries) add(directoryHeader(entry));
  add(directoryEnd(entries.length, start, end, comment));
  return Buffer.concat(parts);
}

function zipEntry(name: string, crc: number, size: number, offset: number): ZipEntry {
  return { name: new TextEncoder().encode(`${name}.npy`), crc, size, offset };
}

async function begun(partial: string, bytes: Uint8Array): Promise<FileHandle> {
  const file = await explained(partial, () => open(partial, 'w'));
  return closingOnFailure(file, () => explained(partial, () => writeAll(file, bytes, 0)));
}

/** The file as it was begun, without what may have been written after its journal. */
async function reopened(path: string, size: number): Promise<FileHandle> {
  const partial = partialFile(path);
  const stats = await stat(partial).catch(() => undefined);
  if (!stats || stats.size < size) {
    throw new FormatError(
      `${partial}: ${stats ? `has ${stats.size} bytes` : 'is missing'}, and ${journalFile(path)} tells of ${size}; ` +
        'remove both to begin anew',
    );
  }
  const file = await explained(partial, () => open(partial, 'r+'));
  return closingOnFailure(file, () => explained(partial, () => file.truncate(size)));
}

async function closingOnFailure(file: FileHandle, action: () => Promise<void>): Promise<FileHandle> {
  try {
    await action();
    return file;
  } catch (error) {
    await file.close();
    throw error;
  }
}

async function readJournal(path: string, origin: Origin): Promise<Journal | undefined> {
  const name = journalFile(path);
  const text = await readFile(name, 'utf8').catch((error: NodeJS.ErrnoException) => {
    if (error.code === 'ENOENT') return undefined;
    throw error;
  });
  if (text === undefined) return undefined;
  const journal = parseJsonOf(
    text,
    name,
    journalSchema,
    'not the journal of an unfinished file',
    FormatError,
  );
  const partial = partialFile(path);
  const remedy = `give the same to go on, or remove ${partial} and ${name} to begin anew`;
  requireSame(journal.origin, origin, `${partial} was begun with`, remedy);
  return journal;
}

async function writeJournal(path: string, journal: Journal): Promise<void> {
  const bytes = new TextEncoder().encode(`${JSON.stringify(journal)}\n`);
  await writeFileAtomically(journalFile(path), (write) => write(bytes));
}

/** @throws {ArgumentError} naming what differs */
function requireSame(then: Origin, now: Origin, what: string, remedy: string): void {
  const names = [...new Set([...Object.keys(then), ...Object.keys(now)])];
  const text = (value: unknown): string => JSON.stringify(value) ?? 'none';
  const differences = names
    .filter((name) => text(then[name]) !== text(now[name]))
    .map((name) => `${name} ${text(then[name])}, not ${text(now[name])}`);
  if (differences.length > 0) throw new ArgumentError(`${what} ${differences.join('; ')}; ${remedy}`);
}
