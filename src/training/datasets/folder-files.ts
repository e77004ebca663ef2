/** @file Lists the files of a folder at any depth, and sums up those that are ignored. */

import type { Dirent } from 'node:fs';
import { readdir, realpath, stat } from 'node:fs/promises';
import { basename, join } from 'node:path';
import { DatasetError } from '../../errors.ts';
import { printable } from '../../formats/printable.ts';
import { extensionOf, usualExtension } from '../../media/file-formats.ts';

/** Files of a folder. */
export interface FolderFiles {
  /** Files of the requested formats, sorted. */
  readonly files: readonly string[];
  /** All others. */
  readonly others: readonly string[];
}

/** Ignored files of a set, to be reported once. */
export interface PassedOver {
  readonly count: number;
  /** Number of files per extension, such as `.heic`; files without one are counted as `''`. */
  readonly extensions: Readonly<Record<string, number>>;
  /** The first of them. */
  readonly examples: readonly string[];
}

/** Folders that systems and archivers make next to the files; their content is not part of a set. */
const SYSTEM_FOLDERS: ReadonlySet<string> = new Set(['@eaDir', '__MACOSX', '$RECYCLE.BIN']);
/** Files that they make. */
const SYSTEM_FILES: ReadonlySet<string> = new Set(['Thumbs.db', 'desktop.ini']);
const EXAMPLES = 3;

/**
 * Lists all files at any depth, sorted; links are followed, but no folder is entered twice. A file belongs to the set if
 * its extension is one of these or, if its extension is unknown, if it begins like such a file. Hidden files are left
 * out.
 * @throws {DatasetError} if a folder cannot be read.
 */
export async function filesBelow(
  folder: string,
  extensions: ReadonlySet<string>,
  seen = new Set<string>(),
): Promise<FolderFiles> {
  const real = await realpath(folder);
  if (seen.has(real)) return { files: [], others: [] };
  seen.add(real);
  const files: string[] = [];
  const others: string[] = [];
  for (const entry of await listFolder(folder)) {
    const path = join(folder, entry.name);
    const kind = await kindOf(entry, path);
    if (kind === 'folder') {
      const below = await filesBelow(path, extensions, seen);
      for (const file of below.files) files.push(file);
      for (const file of below.others) others.push(file);
    } else if (kind === 'file') {
      const isOne = extensions.has(extensionOf(path)) || extensions.has(await usualExtension(path));
      (isOne ? files : others).push(path);
    }
  }
  return { files, others };
}

/** Sums up ignored files; `undefined` if there are none. */
export function passedOver(files: readonly string[]): PassedOver | undefined {
  if (files.length === 0) return undefined;
  const extensions: Record<string, number> = {};
  for (const file of files) {
    const extension = extensionOf(file);
    extensions[extension] = (extensions[extension] ?? 0) + 1;
  }
  return { count: files.length, extensions, examples: files.slice(0, EXAMPLES) };
}

/**
 * Describes ignored files in one line.
 * @param unit the kind of files that are read, such as `images`.
 */
export function describePassedOver(
  name: string,
  unit: string,
  { count, extensions, examples }: PassedOver,
): string {
  const kinds = Object.entries(extensions)
    .sort(([, a], [, b]) => b - a)
    .map(([extension, number]) => `${number} ${extension ? printable(extension) : 'without an extension'}`);
  const shown = kinds.slice(0, 5).join(', ') + (kinds.length > 5 ? ', ...' : '');
  const names = examples.map((path) => printable(basename(path))).join(', ');
  return (
    `${name}: ignored ${count} file${count === 1 ? '' : 's'} not read as ${unit}: ${shown} ` +
    `(${names}${count > examples.length ? ', ...' : ''})`
  );
}

/** Checks whether a path leads to a folder; a broken link does not. */
export async function isFolder(path: string): Promise<boolean> {
  return (await kindOfPath(path)) === 'folder';
}

/**
 * Lists the sorted names of the folders in a folder, including links to folders.
 * @throws {DatasetError} if it cannot be read.
 */
export async function foldersIn(path: string): Promise<string[]> {
  const names: string[] = [];
  for (const entry of await listFolder(path)) {
    if ((await kindOf(entry, join(path, entry.name))) === 'folder') names.push(entry.name);
  }
  return names;
}

/** Lists the sorted paths of the files directly in a folder. @throws {DatasetError} if it cannot be read. */
export async function filesIn(path: string): Promise<string[]> {
  const files: string[] = [];
  for (const entry of await listFolder(path)) {
    const file = join(path, entry.name);
    if ((await kindOf(entry, file)) === 'file') files.push(file);
  }
  return files;
}

type Kind = 'file' | 'folder' | undefined;

/** Returns the kind of an entry; only links are looked up. */
async function kindOf(entry: Dirent, path: string): Promise<Kind> {
  if (entry.isSymbolicLink()) return kindOfPath(path);
  return entry.isDirectory() ? 'folder' : entry.isFile() ? 'file' : undefined;
}

async function kindOfPath(path: string): Promise<Kind> {
  const stats = await stat(path).catch(() => undefined);
  return stats?.isDirectory() ? 'folder' : stats?.isFile() ? 'file' : undefined;
}

/** Lists entries sorted by name, without hidden ones (macOS leaves `._x.jpg` files that are not images). */
async function listFolder(path: string): Promise<Dirent[]> {
  try {
    const entries = await readdir(path, { withFileTypes: true });
    return entries
      .filter(({ name }) => !name.startsWith('.') && !SYSTEM_FOLDERS.has(name) && !SYSTEM_FILES.has(name))
      .sort((a, b) => (a.name < b.name ? -1 : 1));
  } catch (error) {
    throw new DatasetError(`${path}: cannot be read as a folder (${(error as Error).message})`, {
      cause: error,
    });
  }
}
