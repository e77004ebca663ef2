/** @file Classes as people name them, by number or name, and as they are shown. */

import { ArgumentError } from '../../errors.ts';
import { nearest } from '../../nearest.ts';
import type { AcditConfig } from './config.ts';

/** Stands for "no class". */
const NONE = 'none';

/**
 * The class that a text names by number or by name, whose case and punctuation do not matter; `classes` for "none".
 * @returns undefined if there is no such name
 * @throws {ArgumentError} naming the range, if it is a number outside it
 */
export function findClass({ classes, classNames = [] }: AcditConfig, text: string): number | undefined {
  if (/^[-+]?\d+$/.test(text)) {
    const label = Number(text);
    if (label >= 0 && label < classes) return label;
    throw new ArgumentError(`label ${text} is outside 0 to ${classes - 1}, the classes of this model`);
  }
  if (text.toLowerCase() === NONE) return classes;
  const found = classNames.findIndex((name) => simplified(name) === simplified(text));
  return found < 0 ? undefined : found;
}

/**
 * The same, where there must be one.
 * @throws {ArgumentError} naming the nearest class, or the range of numbers
 */
export function requireClass(config: AcditConfig, text: string): number {
  const found = findClass(config, text);
  if (found !== undefined) return found;
  const { classes, classNames } = config;
  const known = classNames
    ? `did you mean '${nearest(text, classNames)}'?`
    : `this model's classes have no names; give numbers from 0 to ${classes - 1}`;
  throw new ArgumentError(`unknown class '${text}'; ${known}`);
}

/** The name of a class, as far as the model has names. */
export function className({ classes, classNames }: AcditConfig, label: number): string {
  if (label === classes) return NONE;
  return classNames?.[label] ?? `class ${label}`;
}

function simplified(name: string): string {
  const letters = name.toLowerCase().replace(/[^\p{L}\p{N}]/gu, '');
  return letters === '' ? name : letters;
}
