/**
 * @file Writing a file so that at any moment, also after a crash or on a full disk, its name holds either the
 * whole old content or the whole new one (Node only).
 */

import { createHash, randomBytes } from 'node:crypto';
import { fsync } from 'node:fs';
import { type FileHandle, mkdir, open, readdir, realpath, rename, rm, stat } from 'node:fs/promises';
import { basename, dirname, join, resolve } from 'node:path';
import { promisify } from 'node:util';
import { AcditError } from '../errors.ts';

/** One system call writes at most 2^31 - 1 bytes. */
const LARGEST_WRITE = 2 ** 30;

/** Appends bytes to the file being written. */
export type WriteBytes = (bytes: Uint8Array) => Promise<void>;

/**
 * Write `path` through a temporary file in the same folder: written, flushed to disk, then renamed. If `produce` or
 * the disk fails, the temporary file is removed and `path` stays as it was.
 * @param produce is called once and writes the content, in order.
 * @throws {AcditError} if the file cannot be written; errors of `produce` are passed on.
 */
export async function writeFileAtomically(
  path: string,
  produce: (write: WriteBytes) => Promise<void>,
): Promise<void> {
  const target = await realpath(path).catch(() => path); // a link stays a link
  const temporary = temporaryName(target);
  const file = await namingFile(path, () => open(temporary, 'wx'));
  await renamed(path, temporary, target, async () => {
    try {
      await produce((bytes) => namingFile(path, () => writeAll(file, bytes)));
      await namingFile(path, () => flushFile(file));
    } finally {
      await namingFile(path, () => file.close());
    }
  });
}

/** Writes a text as {@link writeFileAtomically} writes a file. */
export function writeTextAtomically(path: string, text: string): Promise<void> {
  return writeFileAtomically(path, (write) => write(new TextEncoder().encode(text)));
}

/** Writes a value as JSON for people to read. */
export function writeJsonAtomically(path: string, value: object): Promise<void> {
  return writeTextAtomically(path, `${JSON.stringify(value, undefined, 2)}\n`);
}

/** Gives what `produce` makes its name. If that fails, it is removed. */
async function renamed(
  path: string,
  temporary: string,
  target: string,
  produce: () => Promise<void>,
): Promise<void> {
  try {
    await produce();
    await namingFile(path, () => rename(temporary, target));
  } catch (error) {
    await rm(temporary, { recursive: true, force: true }).catch(() => undefined); // the first error is the one to report
    throw error;
  }
  await flushFolder(dirname(target));
}

/**
 * Make a new folder with all its files, or nothing: they are written to a temporary folder next to it, which is then
 * renamed.
 * @param produce writes the files into the folder that it gets.
 * @throws {AcditError} if the folder cannot be made; errors of `produce` are passed on.
 */
export async function writeFolderAtomically(
  path: string,
  produce: (folder: string) => Promise<void>,
): Promise<void> {
  const target = resolve(path);
  const temporary = temporaryName(target);
  await namingFile(path, () => mkdir(temporary));
  await renamed(path, temporary, target, () => produce(temporary));
}

/** Make a folder in one that exists; it may be there already. @throws {AcditError} if it cannot be made. */
export async function makeFolder(path: string): Promise<void> {
  await namingFile(path, () => ensureFolder(path));
}

async function ensureFolder(path: string): Promise<void> {
  await mkdir(path).catch(async (error: NodeJS.ErrnoException) => {
    if (error.code !== 'EEXIST' || !(await stat(path)).isDirectory()) throw error;
  });
}

/**
 * Make a folder, with those around it; all may be there already. Node's own way never ends in a folder such as /proc,
 * which is there and says of what is to be made in it that its folder is not.
 * @throws {AcditError} if it cannot be made.
 */
export async function makeFolders(path: string): Promise<void> {
  const missing: string[] = [];
  let folder = resolve(path);
  await namingFile(path, async () => {
    for (; !(await isThere(folder)); folder = dirname(folder)) missing.unshift(folder);
  });
  if (missing.length === 0) return makeFolder(path); // which says so if it is not a folder
  for (const next of missing) {
    await namingFile(path, async () => {
      await ensureFolder(next).catch((cause: NodeJS.ErrnoException) => {
        if (cause.code !== 'ENOENT') throw cause;
        throw new Error(`no folder can be made in ${dirname(next)}`, { cause });
      });
    });
  }
}

async function isThere(path: string): Promise<boolean> {
  const stats = await stat(path).catch((error: NodeJS.ErrnoException) => {
    if (error.code !== 'ENOENT' && error.code !== 'ENOTDIR') throw error;
  });
  return stats !== undefined;
}

/** Max bytes of a file's name on all common file systems. */
const LONGEST_NAME = 255;

function temporaryName(target: string): string {
  const ending = `.${randomBytes(6).toString('hex')}.tmp`;
  return join(dirname(target), `.${shortened(basename(target), LONGEST_NAME - 1 - ending.length)}${ending}`);
}

/** Removes what a kill in the middle of writing files of such names left in a folder: files as large as they are. */
export async function removeTemporaries(folder: string, isName: (name: string) => boolean): Promise<void> {
  for (const file of await readdir(folder)) {
    const [, name] = /^\.(.+)\.[0-9a-f]{12}\.tmp$/.exec(file) ?? [];
    if (name !== undefined && isName(name)) await rm(join(folder, file), { force: true });
  }
}

/**
 * Returns the path of a file that belongs to another one, such as its lock: the other's with an ending or, if that makes
 * the name too long, its beginning and a checksum with the ending.
 */
export function companionFile(path: string, ending: string): string {
  const name = basename(path);
  if (Buffer.byteLength(name + ending) <= LONGEST_NAME) return path + ending;
  const tail = `.${createHash('sha256').update(name).digest('hex').slice(0, 16)}${ending}`;
  return join(dirname(path), shortened(name, LONGEST_NAME - tail.length) + tail);
}

/** Returns as many of a name's first characters as fit in `bytes` bytes. */
function shortened(name: string, bytes: number): string {
  const characters = [...name];
  while (Buffer.byteLength(characters.join('')) > bytes) characters.pop();
  return characters.join('');
}

/** Write all bytes: at a position, or after what was written before. */
export async function writeAll(file: FileHandle, bytes: Uint8Array, position?: number): Promise<void> {
  for (let done = 0; done < bytes.length; ) {
    const length = Math.min(LARGEST_WRITE, bytes.length - done);
    const place = position === undefined ? null : position + done;
    done += (await file.write(bytes, done, length, place)).bytesWritten;
  }
}

/** Flushes a file to disk, by its number: Yarn's Plug'n'Play replaces handles by ones that cannot. */
export async function flushFile({ fd }: FileHandle): Promise<void> {
  await promisify(fsync)(fd);
}

/** Make a rename itself survive a power cut, where the system lets folders be flushed. */
export async function flushFolder(folder: string): Promise<void> {
  const handle = await open(folder, 'r').catch(() => undefined);
  if (handle) await flushFile(handle).catch(() => undefined);
  await handle?.close();
}

const writeProblems: Record<string, string> = {
  ENOSPC: 'the disk is full; free some space',
  EDQUOT: 'the disk quota is used up; free some space',
  ENOENT: 'its folder does not exist; create it first',
  EACCES: 'this user may not write there',
  EPERM: 'this user may not write there',
  EROFS: 'the disk is read-only',
  EISDIR: 'it is a directory',
  EEXIST: 'a file of that name is there',
  ENOTDIR: 'its folder is a file',
  ENAMETOOLONG: 'its name is too long; give a shorter one',
};

/** Run what writes `path`. @throws {AcditError} saying why it cannot be written */
export async function namingFile<T>(path: string, action: () => Promise<T>): Promise<T> {
  try {
    return await action();
  } catch (cause) {
    throw writeError(path, cause);
  }
}

/** Does the same as {@link namingFile}, synchronously. @throws {AcditError} saying why `path` cannot be written */
export function explainedSync<T>(path: string, action: () => T): T {
  try {
    return action();
  } catch (cause) {
    throw writeError(path, cause);
  }
}

function writeError(path: string, cause: unknown): AcditError {
  return new AcditError(`cannot write ${path}: ${describeWriteProblem(cause)}`, { cause });
}

/** Describes why a write failed and, if possible, what to do. */
export function describeWriteProblem(cause: unknown): string {
  const { code = '', message } = cause as NodeJS.ErrnoException;
  return writeProblems[code] ?? message;
}
