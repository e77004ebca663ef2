/** @file Parsers of flags: numbers, words, files and per-block values, with messages that name the flag; and such flags. */

import { ArgumentError } from '../errors.ts';
import { didYouMean } from '../nearest.ts';
import type { Flag, Parser } from './flags.ts';

/** Reads a whole number from `minimum` to `maximum`. */
export function wholeNumber(minimum = 1, maximum = Number.MAX_SAFE_INTEGER): Parser<number> {
  const range =
    maximum < Number.MAX_SAFE_INTEGER ? `from ${minimum} to ${maximum}` : `of at least ${minimum}`;
  return (text, flag) => {
    const value = Number(text);
    if (text.trim() !== '' && Number.isSafeInteger(value) && value >= minimum && value <= maximum)
      return value;
    throw new ArgumentError(`--${flag} must be a whole number ${range}, got '${text}'`);
  };
}

/** Reads a finite number. @param range says which numbers are valid, such as `above 0` */
export function realNumber(range: string, isValid: (value: number) => boolean): Parser<number> {
  return (text, flag) => {
    const value = Number(text);
    if (text.trim() !== '' && Number.isFinite(value) && isValid(value)) return value;
    throw new ArgumentError(`--${flag} must be a number ${range}, got '${text}'`);
  };
}

/**
 * Reads the path of a file to write, which must have a certain ending: a flag whose value was forgotten takes the next
 * word, which may be a model.
 */
function outputFile(ending: string): Parser<string> {
  return (path, flag) => {
    if (path.toLowerCase().endsWith(ending)) return path;
    throw new ArgumentError(`--${flag} names a file to write, which must end in ${ending}, got '${path}'`);
  };
}

/** Reads one of some words; the message for another names all of them, and the nearest if one is similar. */
export function choice<const C extends string>(choices: readonly C[]): Parser<C> {
  return (text, flag) => {
    const found = choices.find((word) => word === text);
    if (found !== undefined) return found;
    throw new ArgumentError(
      `--${flag} must be one of ${choices.join(', ')}, got '${text}'${didYouMean(text, choices)}`,
    );
  };
}

/** Reads values with commas between them. */
export function list<T>(parse: Parser<T>): Parser<T[]> {
  return (text, flag) => text.split(',').map((part) => parse(part.trim(), flag));
}

/** Reads one value for all blocks, or one per block with slashes between them: `25` or `25/10/10/10`. */
export function perBlock(parse: Parser<number>): Parser<number | readonly number[]> {
  return (text, flag) =>
    text.includes('/') ? text.split('/').map((part) => parse(part, flag)) : parse(text, flag);
}

/** What a flag may have besides its parser and its help. */
type FlagOptions = Partial<Pick<Flag, 'value' | 'default' | 'aliases'>>;
type CountOptions = FlagOptions & { readonly minimum?: number; readonly maximum?: number };
type ParsedFlag<T, Options> = { value: string; parse: Parser<T>; help: string } & NoInfer<Options>;

/** Returns a flag of a whole number from `minimum` (default: 1) to `maximum`. */
export function countFlag<const O extends CountOptions>(help: string, options?: O): ParsedFlag<number, O> {
  return { value: 'N', parse: wholeNumber(options?.minimum, options?.maximum), help, ...options! };
}

/** Returns a flag of one of some words. */
export function choiceFlag<const C extends string, const O extends FlagOptions>(
  choices: readonly C[],
  help: string,
  options?: O,
): ParsedFlag<C, O> {
  return { value: 'NAME', parse: choice(choices), help, ...options! };
}

/** Returns a flag of a file to write. @param ending of its name, such as `.npz`. */
export function fileFlag(ending: string, help: string, value = `F${ending}`) {
  return { value, parse: outputFile(ending), help };
}
