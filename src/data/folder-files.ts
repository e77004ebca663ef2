/** @file Lists the files of a folder at any depth, and sums up those that are ignored. */

import type { Dirent, Stats } from 'node:fs';
import { readdir, realpath, stat } from 'node:fs/promises';
import { basename, join } from 'node:path';
import { DatasetError } from '../errors.ts';
import { compareCodePoints } from '../io/code-point-order.ts';
import { printable } from '../io/printable.ts';
import { extensionOf, usualExtension } from '../media/file-formats.ts';

/** Files of a folder. */
export interface FolderFiles {
  /** Files of the requested formats, sorted. */
  readonly files: readonly string[];
  /** All others. */
  readonly others: readonly OtherFile[];
}

/** A file that is not part of a set. */
export interface OtherFile {
  readonly path: string;
  readonly kind: 'file' | SpecialKind;
}

/** What an entry of a folder may be that cannot be read as a file. */
export type SpecialKind = 'broken link' | 'named pipe' | 'socket' | 'device';

/** Ignored files of a set, to be reported once. */
export interface IgnoredFiles {
  readonly count: number;
  /** Number of files per extension, such as `.heic`; files without one are counted as `''`. */
  readonly extensions: Readonly<Record<string, number>>;
  /** Number of entries that are not files, per kind. */
  readonly special?: Readonly<Partial<Record<SpecialKind, number>>>;
  /** The first of them. */
  readonly examples: readonly string[];
}

/** Folders and files that systems and archivers make next to the files; they are not part of a set. */
const SYSTEM_NAMES = new Set(['@eaDir', '__MACOSX', '$RECYCLE.BIN', 'Thumbs.db', 'desktop.ini']);
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
  const others: OtherFile[] = [];
  for (const { path, kind } of await listFolder(folder)) {
    if (kind === 'folder') {
      const below = await filesBelow(path, extensions, seen);
      for (const file of below.files) files.push(file);
      for (const file of below.others) others.push(file);
    } else if (kind !== 'file') {
      others.push({ path, kind });
    } else if (extensions.has(extensionOf(path)) || extensions.has(await usualExtension(path))) {
      files.push(path);
    } else {
      others.push({ path, kind });
    }
  }
  return { files, others };
}

/** Sums up ignored files; `undefined` if there are none. */
export function ignoredFiles(files: readonly OtherFile[]): IgnoredFiles | undefined {
  if (files.length === 0) return undefined;
  const extensions: Record<string, number> = {};
  const special: Partial<Record<SpecialKind, number>> = {};
  for (const { path, kind } of files) {
    const extension = extensionOf(path);
    if (kind === 'file') extensions[extension] = (extensions[extension] ?? 0) + 1;
    else special[kind] = (special[kind] ?? 0) + 1;
  }
  return {
    count: files.length,
    extensions,
    ...(Object.keys(special).length > 0 && { special }),
    examples: files.slice(0, EXAMPLES).map(({ path }) => path),
  };
}

/**
 * Describes ignored files in one line.
 * @param unit the kind of files that are read, such as `images`.
 */
export function describeIgnoredFiles(
  name: string,
  unit: string,
  { count, extensions, special = {}, examples }: IgnoredFiles,
): string {
  const plural = (kind: string, number: number): string => (number === 1 ? kind : `${kind}s`);
  const kinds = [
    ...Object.entries(extensions).map(
      ([extension, number]) => [extension ? printable(extension) : 'without an extension', number] as const,
    ),
    ...Object.entries(special).map(([kind, number]) => [plural(kind, number), number] as const),
  ]
    .sort(([, a], [, b]) => b - a)
    .map(([kind, number]) => `${number} ${kind}`);
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
  return (await listFolder(path)).filter(({ kind }) => kind === 'folder').map(({ path }) => basename(path));
}

/** Lists the sorted paths of the files directly in a folder. @throws {DatasetError} if it cannot be read. */
export async function filesIn(path: string): Promise<string[]> {
  return (await entriesIn(path)).filter(({ kind }) => kind === 'file').map(({ path }) => path);
}

/**
 * Lists everything directly in a folder that is not a folder, sorted: files, and what cannot be read as one.
 * @throws {DatasetError} if it cannot be read.
 */
export async function entriesIn(path: string): Promise<OtherFile[]> {
  return (await listFolder(path)).filter((entry): entry is OtherFile => entry.kind !== 'folder');
}

type Kind = 'folder' | OtherFile['kind'];

async function kindOfPath(path: string): Promise<Kind> {
  const stats = await stat(path).catch(() => undefined);
  return stats ? kindFrom(stats) : 'broken link';
}

function kindFrom(entry: Dirent | Stats): Kind {
  if (entry.isDirectory()) return 'folder';
  if (entry.isFile()) return 'file';
  if (entry.isFIFO()) return 'named pipe';
  return entry.isSocket() ? 'socket' : 'device';
}

/**
 * Lists entries sorted by name, without hidden ones (macOS leaves `._x.jpg` files that are not images). Only links are
 * looked up.
 */
async function listFolder(folder: string): Promise<{ readonly path: string; readonly kind: Kind }[]> {
  const entries = await readdir(folder, { withFileTypes: true }).catch((cause) => {
    throw new DatasetError(`${folder}: cannot be read as a folder (${cause.message})`, { cause });
  });
  const shown = entries
    .filter(({ name }) => !name.startsWith('.') && !SYSTEM_NAMES.has(name))
    .sort((a, b) => compareCodePoints(a.name, b.name));
  const found: { path: string; kind: Kind }[] = [];
  for (const entry of shown) {
    const path = join(folder, entry.name);
    found.push({ path, kind: entry.isSymbolicLink() ? await kindOfPath(path) : kindFrom(entry) });
  }
  return found;
}
