/** @file Errors for options that are not valid, or do not exist. */

import { ArgumentError } from './errors.ts';
import { printable } from './io/printable.ts';
import { didYouMean } from './nearest.ts';

/** Makes the error for an option that is not valid. @param problem continues a sentence that begins with the option's name. */
export function invalidOption(name: string, problem: string, options: ErrorOptions = {}): ArgumentError {
  return new ArgumentError(`${name} ${problem}`, { ...options, field: name, problem });
}

/** The options of a type by their names, so that the compiler finds one that is missing. */
export type OptionNames<Options> = Readonly<Record<keyof Options & string, true>>;

/**
 * Checks options that TypeScript would not have allowed: a misspelled one would have no effect.
 * @throws {ArgumentError} for the first that does not exist, with the nearest that does
 */
export function requireKnownOptions(options: object, names: Readonly<Record<string, true>>): void {
  if (typeof options !== 'object' || options === null) {
    throw new ArgumentError(`options must be an object, got ${printable(options)}`);
  }
  const unknown = Object.keys(options).find((name) => !Object.hasOwn(names, name));
  if (unknown === undefined) return;
  const known = Object.keys(names);
  const quoted = (name: string): string => `'${name}'`;
  const advice = didYouMean(unknown, known, quoted) || `; the options are ${known.join(', ')}`;
  throw new ArgumentError(`unknown option '${printable(unknown)}'${advice}`, { field: unknown });
}
