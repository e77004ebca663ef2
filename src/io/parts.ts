/** @file Work that is divided among processes which do not know of each other, such as those of a job array (Node only). */

import { readdir } from 'node:fs/promises';
import { dirname, format, parse } from 'node:path';
import { ArgumentError } from '../errors.ts';
import { printable } from './printable.ts';

/** One part of the work. */
export interface Part {
  /** From 1. */
  readonly number: number;
  readonly of: number;
}

/** Work that is not divided. */
export const WHOLE: Part = { number: 1, of: 1 };

/** Returns the file of a part of what goes to `path`: `samples.part-3-of-16.npz`. */
export function partFile(path: string, { number, of }: Part): string {
  const { dir, name, ext } = parse(path);
  return format({ dir, name: `${name}.part-${number}-of-${of}`, ext });
}

/**
 * Returns how many parts what goes to `path` has been divided into: undefined if there is no file of a part, finished or not.
 * @throws {ArgumentError} if there are files of two divisions
 */
export async function partsOf(path: string): Promise<number | undefined> {
  const { name, ext } = parse(path);
  const files = await readdir(dirname(path)).catch(() => []);
  const divisions = new Set<number>();
  for (const file of files) {
    const [, number, of] = /\.part-(\d+)-of-(\d+)\./.exec(file) ?? [];
    const part = { number: Number(number), of: Number(of) };
    const isPart = number !== undefined && file.startsWith(partFile(name + ext, part));
    if (isPart && !file.endsWith('.lock')) divisions.add(part.of);
  }
  const [first, second] = [...divisions];
  if (second === undefined) return first;
  throw new ArgumentError(
    `${printable(path)} has been divided into ${first} parts and into ${second}; remove the files ` +
      `${printable(name)}.part-*-of-* of one division`,
  );
}

/** Says which parts have still to be run. */
export function unfinishedParts(numbers: readonly number[], of: number): string {
  const [first = 0, ...rest] = numbers;
  const which = rest.length === 0 ? `part ${first} of ${of} is` : `parts ${numbers.join(', ')} of ${of} are`;
  return `${which} not finished; run what is missing, such as --part ${first}/${of}`;
}
