/**
 * @file An `.npz` file that takes days to write (Node only). Its first array grows row by row in `PATH.partial`, which is
 * the archive without its end, and a journal next to it says which rows are safe on the disk and what they were made
 * with. A process may end at any moment: the next one checks the rows of the journal and continues after them. The
 * finished file gets its name at once, and keeps what it was made with as the archive's comment.
 */

import { type FileHandle, open, rename, rm, stat } from 'node:fs/promises';
import { dirname } from 'node:path';
import { at, take } from '../at.ts';
import { AcditError, ArgumentError, FormatError } from '../errors.ts';
import { companionFile, flushFile, flushFolder, namingFile, writeAll } from '../io/atomic-write.ts';
import { closingAfter, closingOnError } from '../io/byte-source.ts';
import { openFile } from '../io/file-source.ts';
import { parseJson } from '../io/json.ts';
import { printable, printableMessage } from '../io/printable.ts';
import { bytesPerElement, elementCount, type Tensor } from '../tensor/tensor.ts';
import { encodeNpy, npyHeader } from './npy.ts';
import { type Mark, type Origin, readJournal, withMark, writeJournal } from './resumable-npz-journal.ts';
import { zipComment } from './zip.ts';
import { checksum, LONGEST_COMMENT, localHeader, writeStoredZip, type ZipEntry } from './zip-writer.ts';

/** The array that grows. */
export interface ResumableArray {
  /** Without `.npy`. */
  readonly name: string;
  readonly dtype: 'uint8' | 'float32';
  /** (rows, ...): the finished array's. */
  readonly shape: readonly number[];
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

/**
 * Checks whether `path` exists, finished, with this origin.
 * @param overwrite whether files of another origin may be replaced.
 * @param remedy what the message about another file advises.
 * @throws {ArgumentError} if there is another file of that name, or one with another origin, that may not be replaced.
 */
export async function isFinishedNpz(
  path: string,
  { shape }: ResumableArray,
  origin: Origin,
  {
    overwrite = false,
    remedy = 'give --overwrite to replace it, or another name',
  }: { readonly overwrite?: boolean; readonly remedy?: string } = {},
): Promise<boolean> {
  const found = await stat(path).catch(() => undefined);
  if (!found) return false;
  if (found.isDirectory()) throw new ArgumentError(`${path} exists and is a folder; give another name`);
  const made = await closingAfter(await openFile(path), (source) =>
    zipComment(source)
      .then((comment) => parseJson(comment, path, FormatError))
      .catch(() => undefined),
  );
  if (typeof made !== 'object' || made === null) {
    if (overwrite) return false;
    throw new ArgumentError(`${path} exists, but does not record what it was made with; ${remedy}`);
  }
  const wanted: Origin = { ...origin, shape };
  const was = `${path} is finished, but was made with`;
  if (!isSame(made as Origin, wanted, overwrite, was, remedy)) return false;
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
export async function openResumableNpz(
  path: string,
  array: ResumableArray,
  origin: Origin,
  warn: (message: string) => void = () => {},
  { overwrite = false }: { readonly overwrite?: boolean } = {},
): Promise<ResumableNpz> {
  const layout = layoutOf(path, array, { ...origin, shape: array.shape });
  const { partial, journal, made, begin } = layout;
  const marks = await safeMarks(layout, await journalMarks(layout, overwrite, warn), warn);
  const { rows } = at(marks, -1);
  // The journal comes first: without it, nobody would know what the rows are.
  if (rows === 0) await writeJournal(journal, { origin: made, marks });
  const file = await namingFile(partial, () => open(partial, rows === 0 ? 'w' : 'r+'));
  await closingOnError(file, () =>
    namingFile(partial, () =>
      // A file that was begun loses what was written after its journal.
      rows === 0 ? writeAll(file, begin(0), 0) : file.truncate(positionOf(layout, rows)),
    ),
  );
  return new ResumableNpz(layout, file, marks);
}

/** The open, unfinished file. */
export class ResumableNpz {
  readonly #layout: Layout;
  readonly #file: FileHandle;
  /** What the journal says is safe. */
  #marks: readonly Mark[];
  /** Rows that are written, and the checksum of the array's file up to them. */
  #written: Mark;
  #savedAt = Number.NEGATIVE_INFINITY;
  #closing: Promise<void> | undefined;

  constructor(layout: Layout, file: FileHandle, marks: readonly Mark[]) {
    this.#layout = layout;
    this.#file = file;
    this.#marks = marks;
    this.#written = at(marks, -1);
  }

  /** Rows that are written. */
  get rows(): number {
    return this.#written.rows;
  }

  get #end(): number {
    return positionOf(this.#layout, this.rows);
  }

  /** Writes rows after those before. @throws {AcditError} if they cannot be written */
  async append(bytes: Uint8Array): Promise<void> {
    const { path, count, rowBytes } = this.#layout;
    const added = bytes.length / rowBytes;
    if (!Number.isInteger(added) || this.rows + added > count) {
      throw new ArgumentError(
        `${path}: ${bytes.length} bytes are no rows of ${rowBytes}, or more than the ${count - this.rows} that are left`,
      );
    }
    await this.#put(bytes, this.#end);
    this.#written = { rows: this.rows + added, crc: checksum(bytes, this.#written.crc) };
    if (performance.now() - this.#savedAt >= JOURNAL_INTERVAL) await this.#save();
  }

  /**
   * Writes the other arrays, and gives the file its name. All rows must be there.
   * @throws {AcditError} if it cannot be written
   */
  async finish(others: Readonly<Record<string, Tensor>>): Promise<void> {
    const { path, partial, journal, count, begin } = this.#layout;
    const { rows, crc } = this.#written;
    if (rows !== count) throw new ArgumentError(`${path}: only ${rows} of ${count} rows are written`);
    await this.#save();
    await this.#put(begin(crc), 0);
    await this.#put(await archiveEnd(this.#layout, crc, this.#end, others), this.#end);
    await this.close();
    await namingFile(path, () => rename(partial, path));
    await flushFolder(dirname(path));
    await rm(journal, { force: true });
  }

  /** Makes safe what is written, and closes the file. */
  close(): Promise<void> {
    this.#closing ??= this.#save().finally(() => this.#file.close());
    return this.#closing;
  }

  async #put(bytes: Uint8Array, position: number): Promise<void> {
    await this.#requireAsLeft();
    try {
      await namingFile(this.#layout.partial, () => writeAll(this.#file, bytes, position));
    } catch (error) {
      await this.#file.truncate(this.#end).catch(() => {}); // a part may be written; the first error is the one to report
      throw error;
    }
  }

  /** Makes the rows safe, and then notes them in the journal. */
  async #save(): Promise<void> {
    const { partial, journal, made } = this.#layout;
    await namingFile(partial, () => flushFile(this.#file));
    if (at(this.#marks, -1).rows !== this.rows) {
      await this.#requireAsLeft();
      this.#marks = withMark(this.#marks, this.#written);
      await writeJournal(journal, { origin: made, marks: this.#marks });
    }
    this.#savedAt = performance.now();
  }

  /** Checks that no other process took over the lock and wrote here: the file's size would show it. @throws {AcditError} */
  async #requireAsLeft(): Promise<void> {
    const { partial } = this.#layout;
    const [mine, present] = await Promise.all([this.#file.stat(), stat(partial).catch(() => undefined)]);
    if (present?.ino === mine.ino && present.dev === mine.dev && present.size === this.#end) return;
    throw new AcditError(
      `${partial}: another process changed it while this one was suspended or cut off; this one stops, and the same ` +
        'command resumes once the other has ended',
    );
  }
}

/** The layout of a file. */
type Layout = ReturnType<typeof layoutOf>;

/** Position of the byte after `rows` rows. */
function positionOf({ dataStart, rowBytes }: Layout, rows: number): number {
  return dataStart + rows * rowBytes;
}

function layoutOf(path: string, { shape, dtype, name }: ResumableArray, made: Origin) {
  /** What the file is made with as text: the archive's comment. */
  const comment = new TextEncoder().encode(JSON.stringify(made));
  if (comment.length > LONGEST_COMMENT) {
    throw new ArgumentError(
      `${path}: its description of what it is made with has ${comment.length} bytes, more than the limit of ${LONGEST_COMMENT}`,
    );
  }
  const header = npyHeader(dtype, shape);
  const [count, ...row] = take(shape, 1);
  const rowBytes = elementCount(row) * bytesPerElement(dtype);
  /** The array's entry in the directory. */
  const entry = (crc: number): ZipEntry => ({
    name: new TextEncoder().encode(memberName(name)),
    crc,
    size: header.length + count * rowBytes,
    offset: 0,
  });
  /** The bytes before the first row. */
  const begin = (crc: number): Uint8Array => Buffer.concat([localHeader(entry(crc), ALIGNMENT), header]);
  const dataStart = begin(0).length;
  /** The mark before the first row. */
  const first: Mark = { rows: 0, crc: checksum(header) };
  const files = { path, partial: partialFile(path), journal: journalFile(path) };
  return { ...files, made, comment, count, rowBytes, dataStart, first, entry, begin };
}

/** The other arrays and the directory. @param position of the first of these bytes. */
async function archiveEnd(
  { entry, comment }: Layout,
  crc: number,
  position: number,
  others: Readonly<Record<string, Tensor>>,
): Promise<Uint8Array> {
  const parts: Uint8Array[] = [];
  const files = Object.entries(others).map(([name, value]) => ({
    name: memberName(name),
    read: async () => encodeNpy(value),
  }));
  const keep = async (bytes: Uint8Array): Promise<void> => void parts.push(bytes);
  await writeStoredZip(keep, files, ALIGNMENT, { written: [entry(crc)], position, comment });
  return Buffer.concat(parts);
}

function memberName(array: string): string {
  return `${array}.npy`;
}

/**
 * Reads the marks of the journal; none if there is no journal.
 * @throws {ArgumentError} if it was begun with another origin
 */
async function journalMarks(
  { partial, journal, made }: Layout,
  overwrite: boolean,
  warn: (message: string) => void,
): Promise<readonly Mark[]> {
  const found = await readJournal(journal, `remove ${partial} and ${journal} to start again`, warn);
  const remedy = 'give the same to resume, or --overwrite to start again';
  const was = `${partial} was begun with`;
  return found && isSame(found.origin, made, overwrite, was, remedy) ? found.marks : [];
}

/** Returns the marks up to which the file is undamaged. @throws {FormatError} if the file is missing */
async function safeMarks(
  layout: Layout,
  marks: readonly Mark[],
  warn: (message: string) => void,
): Promise<readonly Mark[]> {
  const { partial, first } = layout;
  const written = marks.at(-1)?.rows ?? 0;
  if (written === 0) return [first];
  if (!(await stat(partial).catch(() => undefined))) {
    throw new FormatError(`${partial}: is missing, but ${layout.journal} exists; remove that to start again`);
  }
  const room = new Uint8Array(PIECE);
  let safe: readonly Mark[] = [first];
  let { crc } = first;
  let position = layout.dataStart;
  await closingAfter(await openFile(partial), async (source) => {
    for (const mark of marks.filter(({ rows }) => rows > 0)) {
      const end = positionOf(layout, mark.rows);
      if (end > source.size) break;
      for (; position < end; position += Math.min(PIECE, end - position)) {
        crc = checksum(await source.read(position, Math.min(PIECE, end - position), room), crc);
      }
      if (crc !== mark.crc) break;
      safe = withMark(safe, mark);
    }
  });
  const { rows } = at(safe, -1);
  if (rows < written) {
    warn(`${partial} is damaged after row ${rows} of ${written}; the rows from there on are made again`);
  }
  return safe;
}

/**
 * Checks whether two origins are the same.
 * @throws {ArgumentError} naming what differs, unless such a file may be replaced
 */
function isSame(then: Origin, now: Origin, overwrite: boolean, was: string, remedy: string): boolean {
  const names = [...new Set([...Object.keys(then), ...Object.keys(now)])];
  const text = (value: unknown): string => JSON.stringify(value) ?? 'none';
  const differences = names
    .filter((name) => text(then[name]) !== text(now[name]))
    .map((name) => `${printable(name)} ${printable(text(then[name]))}, not ${printable(text(now[name]))}`);
  if (differences.length === 0 || overwrite) return differences.length === 0;
  throw new ArgumentError(`${was} ${printableMessage(differences.join('; '))}; ${remedy}`);
}
