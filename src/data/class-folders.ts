/**
 * @file Files in one folder per class, at any depth below: the layout of ImageNet and of torchvision's `ImageFolder`.
 */

import { createHash } from 'node:crypto';
import { stat } from 'node:fs/promises';
import { basename, join, relative, sep } from 'node:path';
import { DatasetError } from '../errors.ts';
import { printableList } from '../io/printable.ts';
import { entriesIn, filesBelow, foldersIn, ignoredFiles } from './folder-files.ts';

export interface LabelledFile {
  readonly path: string;
  readonly label: number;
}

/**
 * List the files with these extensions, and sum up the others. Classes are the folders in order of their names.
 * @param unit what the files are, such as `images`.
 * @param names other names of the classes.
 * @throws {DatasetError} if there are no class folders, one has no such file, or a folder cannot be read.
 */
export async function listClassFiles(
  root: string,
  extensions: ReadonlySet<string>,
  unit: string,
  names: readonly string[] | undefined,
) {
  const folders = await classFolders(root, unit);
  const files: LabelledFile[] = [];
  const others = await entriesIn(root);
  for (const [label, folder] of folders.entries()) {
    const found = await filesBelow(join(root, folder), extensions);
    if (found.files.length === 0) {
      throw new DatasetError(
        `${join(root, folder)}: class folder without ${unit}; add some or remove the folder`,
      );
    }
    for (const path of found.files) files.push({ path, label });
    for (const other of found.others) others.push(other);
  }
  return { files, classNames: renamed(root, folders, names), ignoredFiles: ignoredFiles(others) };
}

/**
 * Returns what identifies a file below `root`: its path, with the name of the class in place of its folder's, so that
 * renaming a folder changes nothing if the class keeps its name. It is the same on systems that store accents apart.
 */
export function fileKey(root: string, { path, label }: LabelledFile, classNames: readonly string[]): string {
  const [, ...below] = relative(root, path).split(sep);
  return [classNames[label], ...below].join('/').normalize();
}

/** @throws {DatasetError} if there is not one name a class. */
export function renamed(
  root: string,
  classes: readonly string[],
  names: readonly string[] = classes,
): readonly string[] {
  if (names.length === classes.length) return names;
  throw new DatasetError(`${root}: has ${classes.length} classes, got ${names.length} classNames`);
}

/** Files whose lengths are asked for at once. */
const STATS_AT_ONCE = 256;

/** Hashes names and lengths: reading every byte would take as long as reading for encoding. */
export async function fingerprintOf(root: string, files: readonly LabelledFile[]): Promise<string> {
  const hash = createHash('sha256');
  for (let i = 0; i < files.length; i += STATS_AT_ONCE) {
    const lines = files.slice(i, i + STATS_AT_ONCE).map(async ({ path, label }) => {
      const length = await stat(path).then(
        ({ size }) => size,
        () => 'missing',
      );
      return `${label} ${length} ${relative(root, path).split(sep).join('/')}\n`;
    });
    hash.update((await Promise.all(lines)).join(''));
  }
  return hash.digest('hex').slice(0, 16);
}

async function classFolders(path: string, unit: string): Promise<string[]> {
  const folders = await foldersIn(path);
  if (folders.length > 0) return folders;
  const entries = await entriesIn(path);
  if (entries.length === 0) {
    throw new DatasetError(`${path}: is empty; expected one folder of ${unit} per class`);
  }
  const links = entries.filter(({ kind }) => kind === 'broken link').map(({ path }) => basename(path));
  throw new DatasetError(
    `${path}: has no folders${links.length > 0 ? ` but broken links (${printableList(links)})` : ''}; expected one folder ` +
      `of ${unit} per class. For a single class, move the ${unit} into ${join(path, 'all')}`,
  );
}
