/**
 * @file Finds the level of a folder that holds the classes: directly in it, in the folder of a split such as `train`, or
 * in a folder that wraps everything, as in many archives. Unused folders are named; an ambiguous layout is refused.
 */

import { realpath } from 'node:fs/promises';
import { join } from 'node:path';
import { at } from '../at.ts';
import { DatasetError } from '../errors.ts';
import { printable, printableList } from '../io/printable.ts';
import { usualExtension } from '../media/file-formats.ts';
import { sameClasses } from '../models/acdit/class-names.ts';
import { filesIn, foldersIn } from './folder-files.ts';
import type { Split } from './kinds.ts';

/** The level of a folder that holds the class folders of a split. */
export interface ClassLevel {
  /** Each folder in it is a class. */
  readonly folder: string;
  /** Notes on folders that are not used, or whose meaning is not certain. */
  readonly notes: readonly string[];
}

/** The files to look for. */
export interface ClassLevelOptions {
  readonly split: Split;
  /** Extensions of the files that classes hold. */
  readonly extensions: ReadonlySet<string>;
  /** The kind of files, such as `images`. */
  readonly unit: string;
  /** Names of the classes, if given: a single one means that there is one class. */
  readonly classNames?: readonly string[] | undefined;
}

/** Names of split folders, in any letter case; the first that exists is used. */
const SPLIT_NAMES: Readonly<Record<Split, readonly RegExp[]>> = {
  train: [/^train$/i, /^train(ing)?([-_ ]?(set|data))?$/i],
  test: [/^test$/i, /^test(ing)?([-_ ]?(set|data))?$/i, /^val(id(ation)?)?([-_ ]?(set|data))?$/i],
};
/** Max wrapping folders inside each other. */
const DEEPEST = 8;

/**
 * Finds the class folders of a split.
 * @throws {DatasetError} if the split is missing, or a folder could be a split as well as a class.
 */
export async function findClassLevel(path: string, options: ClassLevelOptions): Promise<ClassLevel> {
  const top = await unwrapped(path, options, isSplit);
  const choice = await chooseSplit(top, options);
  const hasSplits = choice.folder !== top;
  // A folder in a split is a class, or wraps classes.
  const folder = hasSplits ? await unwrapped(choice.folder, options, () => false) : top;
  // Wrapped splits need no note.
  const wrapped = folder !== (hasSplits ? choice.folder : path);
  if (!wrapped) return { folder, notes: choice.notes };
  const note =
    `${path}: the folders in ${folder} are used as classes (${printableList(await foldersIn(folder))}). ` +
    `For a single class of all ${options.unit}, put them directly into that folder, or give data.classNames one name`;
  return { folder, notes: [...choice.notes, note] };
}

/**
 * Goes down while a folder contains just one folder of folders.
 * @param ends returns whether to stop before a folder of this name.
 */
async function unwrapped(
  path: string,
  options: ClassLevelOptions,
  ends: (name: string) => boolean,
): Promise<string> {
  if (options.classNames?.length === 1) return path;
  let folder = path;
  for (let wrappers = 0; wrappers < DEEPEST; wrappers++) {
    const inside = await onlyFolderOfFolders(folder, options);
    if (inside === undefined || ends(inside)) break;
    folder = join(folder, inside);
  }
  return folder;
}

/** Returns the name of the only folder, if it holds folders of files; else undefined. */
async function onlyFolderOfFolders(path: string, options: ClassLevelOptions): Promise<string | undefined> {
  if (await holdsFilesItself(path, options)) return undefined;
  const [only, another] = await filledFolders(path, options, 2);
  if (only === undefined || another !== undefined) return undefined;
  return (await holdsFolders(join(path, only), options)) ? only : undefined;
}

/** Returns the folder of the split; the folder itself if it has no splits. */
async function chooseSplit(path: string, options: ClassLevelOptions): Promise<ClassLevel> {
  const { split, unit } = options;
  const none: ClassLevel = { folder: path, notes: [] };
  if (!(await foldersIn(path)).some(isSplit)) return split === 'train' ? none : missing(path, split, unit);
  const filled = await filledFolders(path, options);
  const named = filled.filter(isSplit);
  const others = filled.filter((name) => !isSplit(name));
  const splits = await filtered(named, (name) => holdsFolders(join(path, name), options));
  const areClasses = splits.length === 0 && (others.length > 0 || filled.length === 0);
  if (areClasses) return split === 'train' ? none : missing(path, split, unit);
  const isWhole = (['train', 'test'] as const).every((one) => named.some((name) => splitOf(name) === one));
  if (others.length > 0 && !isWhole) {
    const first = at(splits, 0);
    throw ambiguous(path, first, others, await foldersIn(join(path, first)));
  }
  const chosen = preferred(splits, split) ?? preferred(named, split) ?? missing(path, split, unit);
  const doubles = split === 'train' ? named.filter((name) => name !== chosen && splitOf(name) === split) : [];
  const unused = [...doubles, ...others];
  const train = split === 'test' ? preferred(splits, 'train') : undefined;
  const notes = train === undefined ? [] : await otherClasses(path, chosen, train);
  if (unused.length > 0) {
    notes.push(
      `${path}: ${chosen} is used as the ${split} split; ignored next to it: ${printableList(unused)}`,
    );
  }
  return { folder: join(path, chosen), notes };
}

/** Returns the names of split folders, if there are some for training and some for testing. */
export async function splitFolders(path: string): Promise<string[]> {
  const named = (await foldersIn(path)).filter(isSplit);
  const kinds = new Set(named.map(splitOf));
  return kinds.size > 1 ? named : [];
}

/** Labels of a test split are those of the training split only if both have the same folders. */
async function otherClasses(path: string, test: string, train: string): Promise<string[]> {
  const [ofTest, ofTrain] = [await foldersIn(join(path, test)), await foldersIn(join(path, train))];
  if (sameClasses(ofTest, ofTrain)) return [];
  return [
    `${path}: ${test} has the folders ${printableList(ofTest)}, and ${train} ${printableList(ofTrain)}; their labels ` +
      'do not match',
  ];
}

function preferred(names: readonly string[], split: Split): string | undefined {
  return SPLIT_NAMES[split].flatMap((pattern) => names.filter((name) => pattern.test(name)))[0];
}

function splitOf(name: string): Split | undefined {
  return (['train', 'test'] as const).find((split) =>
    SPLIT_NAMES[split].some((pattern) => pattern.test(name)),
  );
}

function isSplit(name: string): boolean {
  return splitOf(name) !== undefined;
}

function missing(path: string, split: Split, unit: string): never {
  const names = split === 'train' ? 'train or training' : 'test, val or validation';
  throw new DatasetError(`${path}: has no ${split} ${unit}; expected a subfolder ${names}`);
}

function ambiguous(
  path: string,
  split: string,
  others: readonly string[],
  inside: readonly string[],
): DatasetError {
  const name = printable(split);
  return new DatasetError(
    `${path}: ${name} could be a split, since it holds the folders ${printableList(inside)}, or a class next to ` +
      `${printableList(others)}. For the split, give ${join(path, name)}, or move ${printableList(others)} elsewhere (such as into ` +
      `${join(path, 'train')}); for a class, put its files directly into ${join(path, name)}`,
  );
}

/** Lists folders that hold files at any depth, at most `most` of them. */
async function filledFolders(path: string, options: ClassLevelOptions, most?: number): Promise<string[]> {
  return filtered(await foldersIn(path), (name) => holdsFiles(join(path, name), options), most);
}

/** Checks whether a folder holds no files itself, but folders of files. */
async function holdsFolders(path: string, options: ClassLevelOptions): Promise<boolean> {
  return !(await holdsFilesItself(path, options)) && (await filledFolders(path, options, 1)).length > 0;
}

/** Checks whether there are such files at any depth. No folder is entered twice: links may form circles. */
async function holdsFiles(
  path: string,
  options: ClassLevelOptions,
  seen = new Set<string>(),
): Promise<boolean> {
  const real = await realpath(path);
  if (seen.has(real)) return false;
  seen.add(real);
  if (await holdsFilesItself(path, options)) return true;
  return any(await foldersIn(path), (name) => holdsFiles(join(path, name), options, seen));
}

async function holdsFilesItself(path: string, { extensions }: ClassLevelOptions): Promise<boolean> {
  return any(await filesIn(path), async (file) => extensions.has(await usualExtension(file)));
}

async function any<T>(values: readonly T[], holds: (value: T) => Promise<boolean>): Promise<boolean> {
  return (await filtered(values, holds, 1)).length > 0;
}

/** The first values that are kept, at most `most` of them. */
async function filtered<T>(
  values: readonly T[],
  keep: (value: T) => Promise<boolean>,
  most = Number.POSITIVE_INFINITY,
): Promise<T[]> {
  const kept: T[] = [];
  for (const value of values) if (kept.length < most && (await keep(value))) kept.push(value);
  return kept;
}
