/**
 * @file UCF-101 as it is distributed: videos in one folder per class, and lists of which are for training and testing
 * (`classInd.txt`, `trainlist01.txt`, `testlist01.txt`, and so on for three folds).
 */

import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { DatasetError, FormatError } from '../../errors.ts';
import { type LabelledFile, renamed } from '../class-folders.ts';
import type { VideoDataset } from '../dataset.ts';
import { isFolder } from '../folder-files.ts';
import { type VideoDatasetOptions, videoDataset } from './video-folder.ts';

const CLASSES = 'classInd.txt';
/** Where the lists and the videos are, below the dataset's folder or right in it. */
const LISTS_FOLDER = 'ucfTrainTestlist';
const VIDEOS_FOLDER = 'UCF-101';

/** The folder with UCF-101's lists; undefined if there are none. */
export async function findUcfLists(path: string): Promise<string | undefined> {
  for (const folder of [path, join(path, LISTS_FOLDER)]) {
    const found = await readFile(join(folder, CLASSES)).catch(() => undefined);
    if (found) return folder;
  }
  return undefined;
}

/**
 * Open one split of UCF-101, or of other videos with such lists.
 * @param path a folder with `ucfTrainTestlist` and `UCF-101`, or with what is in them.
 * @throws {DatasetError} if a list is missing or empty; {FormatError} naming the line of one that is wrong.
 */
export async function openUcf101(path: string, options: VideoDatasetOptions): Promise<VideoDataset> {
  const { split = 'train', fold = 1 } = options;
  const lists = await findUcfLists(path);
  if (lists === undefined) {
    throw new DatasetError(`${path}: expected ${CLASSES} in it or in ${LISTS_FOLDER}, found neither`);
  }
  const videos = (await isFolder(join(path, VIDEOS_FOLDER))) ? join(path, VIDEOS_FOLDER) : path;
  const list = join(lists, `${split}list${String(fold).padStart(2, '0')}.txt`);
  const classes = parseClasses(await readList(join(lists, CLASSES)), join(lists, CLASSES));
  const listed = parseSplit(await readList(list), list, classes);
  const files = listed.map(({ path, label }) => ({ path: join(videos, path), label }));
  return videoDataset(videos, { files, classNames: renamed(path, classes, options.classNames) }, options);
}

async function readList(file: string): Promise<string> {
  return readFile(file, 'utf8').catch((cause) => {
    throw new DatasetError(`${file}: cannot be read (${cause.code}); put UCF-101's lists there`, { cause });
  });
}

/** Lines that hold something, with their numbers. @throws {FormatError} if there are none. */
function linesOf(text: string, name: string, what: string): { line: string; number: number }[] {
  const lines = text
    .split(/\r?\n/)
    .map((line, i) => ({ line: line.trim(), number: i + 1 }))
    .filter(({ line }) => line !== '');
  if (lines.length === 0) throw new FormatError(`${name}: lists no ${what}`);
  return lines;
}

/** Class names by label, from lines such as `1 ApplyEyeMakeup`. @throws {FormatError} naming a wrong line. */
export function parseClasses(text: string, name: string): string[] {
  return linesOf(text, name, 'class').map(({ line, number }, i) => {
    const [, index, className] = /^(\d+)\s+(\S+)$/.exec(line) ?? [];
    if (className !== undefined && Number(index) === i + 1) return className;
    throw new FormatError(`${name}: line ${number} is '${line.slice(0, 80)}', expected '${i + 1} ClassName'`);
  });
}

/**
 * Files below the folder of videos, from lines such as `Archery/v_Archery_g01_c01.avi 3`; of test lists without the
 * number. @throws {FormatError} naming a wrong line.
 */
export function parseSplit(text: string, name: string, classes: readonly string[]): LabelledFile[] {
  return linesOf(text, name, 'video').map(({ line, number }) => {
    const fail = (problem: string): never => {
      throw new FormatError(`${name}: line ${number}, '${line.slice(0, 80)}', ${problem}`);
    };
    const [, folder, file, index] = /^([^/\\\s]+)\/([^/\\\s]+)(?:\s+(\d+))?$/.exec(line) ?? [];
    if (folder === undefined || file === undefined || folder.startsWith('.')) {
      return fail("is not of the form 'ClassName/file.avi 1'");
    }
    const label = classes.indexOf(folder);
    if (label < 0) return fail(`is of a class that ${CLASSES} does not list`);
    if (index !== undefined && Number(index) !== label + 1)
      return fail(`but ${CLASSES} numbers it ${label + 1}`);
    return { path: join(folder, file), label };
  });
}
