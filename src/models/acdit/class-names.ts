/**
 * @file Finds classes by name or number, shows their names, and compares lists of them: labels mean the same only if the
 * names are the same, in the same order.
 */

import { at } from '../../at.ts';
import { ArgumentError } from '../../errors.ts';
import { printable, printableList } from '../../io/printable.ts';
import { didYouMean } from '../../nearest.ts';
import type { AcditConfig } from './config.ts';

/** The part of a configuration that is needed to read and show classes. */
export type ClassList = Pick<AcditConfig, 'classes' | 'classNames'>;

/** Classes whose spellings are computed once, to look up many texts: see {@link classIndex}. */
export interface ClassIndex extends ClassList {
  /** Returns the classes whose names are spelled like the text. */
  findSpelling(text: string, spelling: Spelling): readonly number[];
}

/** Reduces a name to the part that is compared. */
type Spelling = (name: string) => string;

/** The class that a text names. */
export interface ChosenClass {
  /** Its number; the number of classes stands for "no class". */
  readonly label: number;
  /** Says which class was taken, if the text could mean two. */
  readonly note?: string;
}

/** Words for "no class"; the second is for models with a class called `none`. */
const NO_CLASS = ['none', 'no class'] as const;
/** Pattern of class numbers. */
const DIGITS = /^[-+]?\d+$/;
/** Max names listed for a text that resembles no class. */
const LISTED_NAMES = 12;
/** Max differences listed between two lists. */
const SHOWN = 3;

/**
 * Spellings that count as the same name: exact except for Unicode forms and surrounding space; or ignoring letter case.
 */
const SAME_NAME: readonly Spelling[] = [(name) => name, composed, lowerCase];

/** Returns the classes for many lookups; functions here that take a list accept it too. */
export function classIndex(list: ClassList): ClassIndex {
  const { classes, classNames = [] } = list;
  const spelled = new Map<Spelling, Map<string, number[]>>();
  function spellAll(spelling: Spelling): Map<string, number[]> {
    const labels = new Map<string, number[]>();
    for (const [label, name] of classNames.entries()) {
      const key = spelling(name);
      const same = labels.get(key);
      if (same) same.push(label);
      else labels.set(key, [label]);
    }
    spelled.set(spelling, labels);
    return labels;
  }
  return {
    classes,
    ...(list.classNames && { classNames: list.classNames }),
    findSpelling: (text, spelling) => (spelled.get(spelling) ?? spellAll(spelling)).get(spelling(text)) ?? [],
  };
}

/**
 * Returns the class that a text names: by its exact name, by a name that differs in letter case or punctuation only, or
 * by its number; "none" means no class.
 * @returns undefined if there is no such class
 * @throws {ArgumentError} naming the candidates if several names fit equally well, or the range if a number is outside it
 */
export function findClass(list: ClassList, text: string): ChosenClass | undefined {
  const named = findName(list, text);
  if (named !== undefined) return namedClass(list, text, named);
  if (isNumber(text)) return DIGITS.test(text.trim()) ? numberedClass(list, text) : undefined;
  if (NO_CLASS.some((word) => word === lowerCase(text))) return { label: list.classes };
  const label = onlyOne(list, text, simplified);
  return label === undefined ? undefined : { label };
}

/**
 * Returns the number of the class that has this name, ignoring letter case.
 * @returns undefined if there is none
 * @throws {ArgumentError} naming the candidates if several have
 */
export function findName(list: ClassList, text: string): number | undefined {
  for (const spelling of SAME_NAME) {
    const label = onlyOne(list, text, spelling);
    if (label !== undefined) return label;
  }
  return undefined;
}

/**
 * Returns the class that a text names, where it must name one; see {@link findClass}.
 * @throws {ArgumentError} naming the nearest class, the candidates, or the range of numbers
 */
export function requireClass(list: ClassList, text: string): ChosenClass {
  const found = findClass(list, text);
  if (found) return found;
  const { classes, classNames } = list;
  const advice = classNames
    ? didYouMean(text, classNames, quoted) ||
      `; the classes are ${printableList(classNames.map(quoted), LISTED_NAMES)}`
    : `; this model's classes have no names; give numbers from 0 to ${classes - 1}`;
  throw new ArgumentError(`unknown class ${quoted(text)}${advice}`);
}

/** Checks a class that is given as a number, which is never a name. @throws {ArgumentError} naming the range. */
export function requireClassNumber({ classes }: ClassList, label: number): number {
  if (Number.isInteger(label) && label >= 0 && label < classes) return Math.abs(label); // -0 is 0
  throw new ArgumentError(`label ${label} is outside 0 to ${classes - 1}, the classes of this model`);
}

/** Returns the name of a class; its number if the model has no names. */
export function className({ classes, classNames = [] }: ClassList, label: number): string {
  if (label !== classes) return classNames[label] ?? `class ${label}`;
  return classNames.some((name) => lowerCase(name) === NO_CLASS[0]) ? NO_CLASS[1] : NO_CLASS[0];
}

/** Returns unique names: a name of several classes is followed by the number of the class. */
export function distinctNames(names: readonly string[]): string[] {
  const repeated = new Set(names.filter((name, label) => names.indexOf(name) !== label));
  return names.map((name, label) => (repeated.has(name) ? `${name} (${label})` : name));
}

/**
 * Finds the class whose name is spelled like the text; undefined if there is none.
 * @throws {ArgumentError} if several are.
 */
function onlyOne(list: ClassList, text: string, spelling: Spelling): number | undefined {
  const { classNames = [] } = list;
  const fitting = ('findSpelling' in list ? (list as ClassIndex) : classIndex(list)).findSpelling(
    text,
    spelling,
  );
  if (fitting.length <= 1) return fitting[0];
  const nameOf = (label: number): string => at(classNames, label);
  const candidates = printableList(fitting.map((label) => `${quoted(nameOf(label))} (${label})`));
  const equal = new Set(fitting.map(nameOf)).size === 1;
  throw new ArgumentError(
    `${quoted(text)} could be any of the classes ${candidates}; give ${equal ? 'the number' : 'the exact name or the number'}`,
  );
}

/** Returns a class found by its name, with a note if the text could have meant another. */
function namedClass(list: ClassList, text: string, label: number): ChosenClass {
  const names = list.classNames ?? [];
  const taken = `${quoted(text)} is taken as the class named ${quoted(at(names, label))} (number ${label})`;
  const word = lowerCase(text);
  if (word === NO_CLASS[0]) return { label, note: `${taken}; write '${NO_CLASS[1]}' for no class` };
  const number = Number(word);
  // With leading zeros it is a name, not a number.
  const other = names[number];
  if (String(number) !== word || number === label || other === undefined) return { label };
  return { label, note: `${taken}, not as class number ${number} (${quoted(other)})` };
}

/** Returns a class by its number, with a note if a name resembles it. @throws {ArgumentError} naming the range. */
function numberedClass(list: ClassList, text: string): ChosenClass {
  const label = requireClassNumber(list, Number(text));
  const resembling = list.classNames?.find((name) => isNumber(name) && Number(name) === label);
  const name = list.classNames?.[label];
  if (resembling === undefined || name === undefined || name === resembling) return { label };
  const own = quoted(name);
  return {
    label,
    note: `${quoted(text)} is taken as class number ${label} (${own}), not as the class named ${quoted(resembling)}`,
  };
}

function isNumber(text: string): boolean {
  return text.trim() !== '' && !Number.isNaN(Number(text));
}

function composed(name: string): string {
  return name.normalize('NFC').trim();
}

function lowerCase(name: string): string {
  return composed(name).toLowerCase();
}

/** Keeps letters and digits, with the marks that belong to them; everything if there are none. */
function simplified(name: string): string {
  const letters = lowerCase(name).replace(/[^\p{L}\p{N}\p{M}]/gu, '');
  return letters === '' ? lowerCase(name) : letters;
}

function quoted(name: string): string {
  return `'${printable(name)}'`;
}

type Names = readonly string[];

/** Checks whether two lists have the same names in the same order. */
export function sameClasses(a: Names | undefined, b: Names | undefined): boolean {
  return a?.length === b?.length && a?.every((name, label) => name === b?.[label]) !== false;
}

/**
 * Describes how a list of classes changed, such as `2 classes then, 3 now ('c' is new)` or `class 0 was 'a' and is now
 * 'b'`; undefined if it is the same.
 */
export function classChange(then: Names, now: Names): string | undefined {
  if (then.length !== now.length) {
    const [added, gone] = [without(now, then), without(then, now)];
    const details = [
      ...added.map((name) => `${quoted(name)} is new`),
      ...gone.map((name) => `${quoted(name)} is gone`),
    ];
    const shown = details.slice(0, SHOWN).join(', ') + (details.length > SHOWN ? ', ...' : '');
    return `${then.length} ${then.length === 1 ? 'class' : 'classes'} then, ${now.length} now${shown && ` (${shown})`}`;
  }
  const moved = [...then.keys()].filter((label) => then[label] !== now[label]);
  if (moved.length === 0) return undefined;
  const shown = moved
    .slice(0, SHOWN)
    .map((label) => `class ${label} was ${quoted(at(then, label))} and is now ${quoted(at(now, label))}`);
  return shown.join(', ') + (moved.length > SHOWN ? `, and ${moved.length - SHOWN} more` : '');
}

/** Finds the first name that both lists have, with different labels. */
export function movedClass(
  a: Names,
  b: Names,
): { readonly name: string; readonly labels: readonly [number, number] } | undefined {
  const places = new Map(b.map((name, label) => [name, label]));
  for (const [label, name] of a.entries()) {
    const other = places.get(name);
    if (other !== undefined && other !== label && b[label] !== name) return { name, labels: [label, other] };
  }
  return undefined;
}

function without(names: Names, others: Names): string[] {
  const known = new Set(others);
  return names.filter((name) => !known.has(name));
}
