/**
 * @file An `.npz` file that takes days to write (Node only). Its first array grows row by row in `PATH.partial`, which is
 * the archive without its end, and a journal next to it says which rows are safe on the disk and what they were made
 * with. A process may end at any moment: the next one checks the rows of the journal and continues after them. The
 * finished file gets its name at once, and keeps what it was made with as the archive's comment.
 */

import { type FileHandle, open, rename, rm, stat } from 'node:fs/promises';
import { dirname } from 'node:path';
import { AcditError, ArgumentError, FormatError } from '../errors.ts';
import { companionFile, explained, flushFolder, writeAll } from '../io/atomic-write.ts';
import { openFile } from '../io/file-source.ts';
import { parseJson } from '../io/json.ts';
import { printable, printableMessage } from '../io/printable.ts';
import { bytesPerElement, elementCount, type Tensor } from '../tensor/tensor.ts';
import { encodeNpy, npyHeader } from './npy.ts';
import { type Mark, type Origin, readJournal, withMark, writeJournal } from './resumable-npz-journal.ts';
import { zipComment } from './zip.ts';
import { directoryEnd, directoryHeader, LONGEST_COMMENT, localHeader, type ZipEntry } from './zip-records.ts';
import { checksum } from './zip-writer.ts';

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
/** Bytes per read while rows are checked. */
const PIECE = 2 ** 22;

/** The unfinished file of `path`. */
export function partialFile(path: string): string {
  return companionFile(path, '.partial');
}

function journalFile(path: string): string {
  return companionFile(path, '.partial.json');
}

/** What to do with existing files of another origin. */
export interface ReplaceOptions {
  /** Replace them (default: false). */
  readonly overwrite?: boolean;
}

/**
 * Checks whether `path` exists, finished, with this origin.
 * @throws {ArgumentError} if there is another file of that name, or one with another origin, that may not be replaced.
 */
export async function isFinishedNpz(
  path: string,
  { shape }: GrowingArray,
  origin: Origin,
  { overwrite = false }: ReplaceOptions = {},
): Promise<boolean> {
  const found = await stat(path).catch(() => undefined);
  if (!found) return false;
  if (found.isDirectory()) throw new ArgumentError(`${path} exists and is a folder; give another name`);
  const remedy = 'give --overwrite to replace it, or another name';
  const source = await openFile(path);
  const made = await zipComment(source)
    .then((comment) => parseJson(comment, path, FormatError))
    .catch(() => undefined)
    .finally(() => source.close());
  if (typeof made !== 'object' || made === null) {
    if (overwrite) return false;
    throw new ArgumentError(`${path} exists, but does not record what it was made with; ${remedy}`);
  }
  const wanted: Origin = { ...origin, shape };
  if (overwrite && differences(made as Origin, wanted).length > 0) return false;
  requireSame(made as Origin, wanted, `${path} is finished, but was made with`, remedy);
  await rm(journalFile(path), { force: true }); // what a process that was killed at its end may have left
  return true;
}

/**
 * Begins a file, or resumes one. Rows that were damaged since they were written, and those after them, are dropped.
 * @param warn gets a line that says so.
 * @throws {ArgumentError} if it was begun with another origin and may not be replaced
 * @throws {FormatError} if the journal is damaged, or the file is missing
 * @throws {AcditError} if it cannot be written, or another process changed it in the meantime
 */
export async function openGrowingNpz(
  path: string,
  array: GrowingArray,
  origin: Origin,
  warn: (message: string) => void = () => {},
  { overwrite = false }: ReplaceOptions = {},
): Promise<GrowingNpz> {
  const partial = partialFile(path);
  const layout = layoutOf(path, array, { ...origin, shape: array.shape });
  const { made, count, dataStart, rowBytes, begin } = layout;
  let marks = await safeMarks(layout, await journalMarks(path, made, overwrite), warn);
  let { rows, crc } = marks.at(-1)!;
  const end = (): number => dataStart + rows * rowBytes;
  // The journal comes first: without it, nobody would know what the rows are.
  if (rows === 0) await writeJournal(journalFile(path), { origin: made, marks });
  const file = await (rows === 0 ? begun(partial, begin(0)) : reopened(partial, end()));
  let saved = { rows, time: Number.NEGATIVE_INFINITY };

  async function put(bytes: Uint8Array, position: number): Promise<void> {
    await requireAsLeft(partial, file, end());
    try {
      await explained(partial, () => writeAll(file, bytes, position));
    } catch (error) {
      await file.truncate(end()).catch(() => {}); // a part may be written; the first error is the one to report
      throw error;
    }
  }
  async function save(): Promise<void> {
    await explained(partial, () => file.sync());
    if (saved.rows !== rows) {
      await requireAsLeft(partial, file, end());
      marks = withMark(marks, { rows, crc });
      await writeJournal(journalFile(path), { origin: made, marks });
    }
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
      await save();
      await put(begin(crc), 0);
      await put(archiveEnd(layout, crc, end(), others), end());
      await close();
      await explained(path, () => rename(partial, path));
      await flushFolder(dirname(path));
      await rm(journalFile(path), { force: true });
    },
    close,
  };
}

/** The layout of a file. */
interface Layout {
  readonly path: string;
  readonly made: Origin;
  /** The same as text: the archive's comment. */
  readonly comment: Uint8Array;
  /** Rows of the finished array. */
  readonly count: number;
  readonly rowBytes: number;
  /** Position of the first row. */
  readonly dataStart: number;
  /** The mark before the first row. */
  readonly first: Mark;
  /** The array's entry in the directory. */
  entry(crc: number): ZipEntry;
  /** The bytes before the first row. */
  begin(crc: number): Uint8Array;
}

function layoutOf(path: string, { shape, dtype, name }: GrowingArray, made: Origin): Layout {
  const comment = new TextEncoder().encode(JSON.stringify(made));
  if (comment.length > LONGEST_COMMENT) {
    throw new ArgumentError(
      `${path}: its description of what it is made with has ${comment.length} bytes, more than the limit of ${LONGEST_COMMENT}`,
    );
  }
  const header = npyHeader(dtype, shape);
  const [count, ...row] = shape;
  const rowBytes = elementCount(row) * bytesPerElement(dtype);
  const entry = (crc: number): ZipEntry => zipEntry(name, crc, header.length + count * rowBytes, 0);
  const begin = (crc: number): Uint8Array => Buffer.concat([localHeader(entry(crc), ALIGNMENT), header]);
  const dataStart = begin(0).length;
  const first = { rows: 0, crc: checksum(header) };
  return { path, made, comment, count, rowBytes, dataStart, first, entry, begin };
}

/** The other arrays and the directory. @param position of the first of these bytes. */
function archiveEnd(
  { entry: firstEntry, comment }: Layout,
  crc: number,
  position: number,
  others: Readonly<Record<string, Tensor>>,
): Uint8Array {
  const entries = [firstEntry(crc)];
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

/**
 * Reads the marks of the journal; none if there is no journal.
 * @throws {ArgumentError} if it was begun with another origin
 */
async function journalMarks(path: string, origin: Origin, overwrite: boolean): Promise<readonly Mark[]> {
  const name = journalFile(path);
  const partial = partialFile(path);
  const remedy = `remove ${partial} and ${name} to start again`;
  const journal = await readJournal(name, remedy);
  if (!journal || (overwrite && differences(journal.origin, origin).length > 0)) return [];
  requireSame(
    journal.origin,
    origin,
    `${partial} was begun with`,
    'give the same to resume, or --overwrite to start again',
  );
  return journal.marks;
}

/**
 * Returns the marks up to which the file is undamaged.
 * @throws {FormatError} if the file is missing
 */
async function safeMarks(
  { path, first, dataStart, rowBytes }: Layout,
  marks: readonly Mark[],
  warn: (message: string) => void,
): Promise<readonly Mark[]> {
  const written = marks.at(-1)?.rows ?? 0;
  if (written === 0) return [first];
  const partial = partialFile(path);
  if (!(await stat(partial).catch(() => undefined))) {
    throw new FormatError(
      `${partial}: is missing, but ${journalFile(path)} exists; remove that to start again`,
    );
  }
  const source = await openFile(partial);
  const room = new Uint8Array(PIECE);
  let safe: readonly Mark[] = [first];
  let { crc } = first;
  let position = dataStart;
  try {
    for (const mark of marks.filter(({ rows }) => rows > 0)) {
      const end = dataStart + mark.rows * rowBytes;
      if (end > source.size) break;
      for (; position < end; position += Math.min(PIECE, end - position)) {
        crc = checksum(await source.read(position, Math.min(PIECE, end - position), room), crc);
      }
      if (crc !== mark.crc) break;
      safe = withMark(safe, mark);
    }
  } finally {
    await source.close();
  }
  const { rows } = safe.at(-1)!;
  if (rows < written) {
    warn(`${partial} is damaged after row ${rows} of ${written}; the rows from there on are made again`);
  }
  return safe;
}

/** Checks that no other process took over the lock and wrote here: the file's size would show it. @throws {AcditError} */
async function requireAsLeft(partial: string, file: FileHandle, size: number): Promise<void> {
  const [mine, present] = await Promise.all([file.stat(), stat(partial).catch(() => undefined)]);
  if (present?.ino === mine.ino && present.dev === mine.dev && present.size === size) return;
  throw new AcditError(
    `${partial}: another process changed it while this one was suspended or cut off; this one stops, and the same ` +
      'command resumes once the other has ended',
  );
}

/** Opens the file as it was begun, without anything that was written after its journal. */
async function reopened(partial: string, size: number): Promise<FileHandle> {
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

/** @throws {ArgumentError} naming what differs */
function requireSame(then: Origin, now: Origin, what: string, remedy: string): void {
  const found = differences(then, now);
  if (found.length > 0) throw new ArgumentError(`${what} ${printableMessage(found.join('; '))}; ${remedy}`);
}

function differences(then: Origin, now: Origin): string[] {
  const names = [...new Set([...Object.keys(then), ...Object.keys(now)])];
  const text = (value: unknown): string => JSON.stringify(value) ?? 'none';
  return names
    .filter((name) => text(then[name]) !== text(now[name]))
    .map((name) => `${printable(name)} ${printable(text(then[name]))}, not ${printable(text(now[name]))}`);
}
