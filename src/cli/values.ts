/** @file Flags' texts as numbers, choices and per-block values, with messages that name the flag. */

import { ArgumentError } from '../errors.ts';
import { didYouMean } from '../nearest.ts';
import { requireOneABlock } from '../runs/labels.ts';

/** Returns a whole number from `minimum` to `maximum`. @throws {ArgumentError} */
export function wholeNumber(
  flag: string,
  text: string,
  minimum = 1,
  maximum = Number.MAX_SAFE_INTEGER,
): number {
  const value = Number(text);
  if (text.trim() === '' || !Number.isSafeInteger(value) || value < minimum || value > maximum) {
    const range =
      maximum < Number.MAX_SAFE_INTEGER ? `from ${minimum} to ${maximum}` : `of at least ${minimum}`;
    throw new ArgumentError(`--${flag} must be a whole number ${range}, got '${text}'`);
  }
  return value;
}

/**
 * A file to write, told from others by the end of its name: a flag whose value was forgotten takes the next word,
 * which may be a model.
 * @throws {ArgumentError}
 */
export function outputFile(flag: string, path: string, ending: string): string {
  if (path.toLowerCase().endsWith(ending)) return path;
  throw new ArgumentError(`--${flag} names a file to write, which must end in ${ending}, got '${path}'`);
}

/** Returns one of some words. @throws {ArgumentError} naming all of them, and the nearest if one is similar. */
export function choice<C extends string>(flag: string, text: string, choices: readonly C[]): C {
  const found = choices.find((word) => word === text);
  if (found !== undefined) return found;
  throw new ArgumentError(
    `--${flag} must be one of ${choices.join(', ')}, got '${text}'${didYouMean(text, choices)}`,
  );
}

/**
 * One value for all blocks, or one a block with slashes between: `25` or `25/10/10/10`.
 * @throws {ArgumentError} if their number is not that of the blocks.
 */
export function perBlock(
  flag: string,
  text: string,
  blocks: number,
  parse: (flag: string, text: string) => number,
): number | number[] {
  if (!text.includes('/')) return parse(flag, text);
  const parts = text.split('/');
  requireOneABlock(flag, text, parts.length, blocks);
  return parts.map((part) => parse(flag, part));
}

/** A guidance scale, 0 or more. @throws {ArgumentError} */
export function guidanceScale(flag: string, text: string): number {
  const value = Number(text);
  if (text.trim() === '' || !Number.isFinite(value) || value < 0) {
    throw new ArgumentError(`--${flag} must be a number of at least 0, got '${text}'`);
  }
  return value;
}
