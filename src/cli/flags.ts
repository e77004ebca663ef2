/** @file Flags as data: one table serves parsing, checks, suggestions and help. Parsers name the flag in their messages. */

import { parseArgs } from 'node:util';
import { ArgumentError } from '../errors.ts';
import { didYouMean } from '../nearest.ts';

/** Reads the text of a flag. @throws {ArgumentError} naming the flag, if the text is not valid */
export type Parser<T> = (text: string, flag: string) => T;

/** A flag with a value, or a switch. */
export interface Flag {
  readonly help: string;
  /** Stands for the value in the help, such as N or FILE; a flag without it is a switch. */
  readonly value?: string;
  /** Reads the value (default: it is the text). */
  readonly parse?: Parser<unknown>;
  /** What is read if the flag is not given, for a value that does not depend on the model. */
  readonly default?: string | number;
  /** Other names, such as those of the official scripts. */
  readonly aliases?: readonly string[];
}

export type Flags = Readonly<Record<string, Flag>>;

/** The value of a flag: undefined if it is not given and has no default; false for a switch that is not given. */
type FlagValue<F extends Flag> = F extends { readonly value: string }
  ?
      | (F extends { readonly parse: Parser<infer T> } ? T : string)
      | (F extends { readonly default: string | number } ? never : undefined)
  : boolean;

type CamelCase<Name extends string> = Name extends `${infer Head}-${infer Tail}`
  ? `${Head}${Capitalize<CamelCase<Tail>>}`
  : Name;

/** The values of all flags of a table, by the names of the library's options: `--max-pixels` is `maxPixels`. */
export type FlagValues<F extends Flags> = {
  readonly [Name in keyof F & string as CamelCase<Name>]: FlagValue<F[Name]>;
};

/**
 * Splits arguments by a table of flags. If a flag is given twice, the last one counts.
 * @param freeForm flags whose name matches are accepted too, with a value, though they are not in the table.
 * @returns the flags' `texts` as they were written, `true` for switches; and those that matched the free form, in order.
 * @throws {ArgumentError} for an unknown flag, naming the nearest known one; for a missing or unexpected value.
 */
export function splitArguments(args: readonly string[], flags: Flags, freeForm?: RegExp) {
  const names = new Map(
    Object.entries(flags).flatMap(([name, flag]) =>
      [name, ...(flag.aliases ?? [])].map((alias) => [alias, { name, isSwitch: isSwitch(flag) }]),
    ),
  );
  const isFree = (name: string): boolean => freeForm?.test(name) === true && !names.has(name);
  const known = [...names].map(
    ([name, flag]) => [name, { type: flag.isSwitch ? 'boolean' : 'string' }] as const,
  );
  const freeTypes = args.flatMap((arg) => {
    const name = /^--([^=]+)/.exec(arg)?.[1];
    return name !== undefined && isFree(name) ? [[name, { type: 'string' }] as const] : [];
  });
  const { tokens, positionals } = parseArgs({
    args: [...args],
    options: Object.fromEntries([...known, ...freeTypes]),
    strict: false, // our messages say more
    allowPositionals: true,
    tokens: true,
  });
  const texts = new Map<string, string | true>();
  const free: [string, string][] = [];
  for (const token of tokens) {
    if (token.kind !== 'option') continue;
    const flag = names.get(token.name);
    if (flag?.isSwitch) {
      if (token.value !== undefined) throw new ArgumentError(`${token.rawName} takes no value`);
      texts.set(flag.name, true);
    } else if (flag) texts.set(flag.name, requireValue(token));
    else if (isFree(token.name)) free.push([token.name, requireValue(token)]);
    else {
      const suggestion = didYouMean(token.name, [...names.keys()], (known) => `--${known}`);
      throw new ArgumentError(`unknown flag ${token.rawName}${suggestion || '; --help lists the flags'}`);
    }
  }
  return { texts, positionals, free };
}

function isSwitch({ value }: Flag): boolean {
  return value === undefined;
}

/** Throws if the next flag stands where a value should be; a negative number is a value. */
function requireValue(token: {
  rawName: string;
  value?: string | undefined;
  inlineValue?: boolean | undefined;
}): string {
  const { rawName, value, inlineValue } = token;
  if (value === undefined || value === '' || (!inlineValue && /^-[^\d.]/.test(value))) {
    throw new ArgumentError(`${rawName} needs a value`);
  }
  return value;
}

/** Reads the values of all flags of a table. @throws {ArgumentError} for a text that is not valid. */
export function readFlags<F extends Flags>(
  flags: F,
  texts: ReadonlyMap<string, string | true>,
): FlagValues<F> {
  const values = Object.entries(flags).map(([name, flag]) => [
    optionName(name),
    readFlag(name, flag, texts.get(name)),
  ]);
  return Object.fromEntries(values) as FlagValues<F>;
}

/** Returns the name of the library's option: that of `max-pixels` is `maxPixels`. */
export function optionName(flag: string): string {
  return flag.replace(/-(\w)/g, (_, letter: string) => letter.toUpperCase());
}

function readFlag(name: string, flag: Flag, given: string | true | undefined): unknown {
  if (isSwitch(flag)) return given === true;
  const text = given ?? flag.default;
  return flag.parse && text !== undefined ? flag.parse(String(text), name) : text;
}

/** Returns the flags as aligned lines, with their defaults and other names. */
export function describeFlags(flags: Flags): string {
  const entries = Object.entries(flags).map(([name, flag]) => {
    const { value, help, aliases = [] } = flag;
    const long = aliases.filter((alias) => alias.length > 1).map((alias) => `--${alias}`);
    const details = [
      ...(flag.default === undefined ? [] : [`default: ${flag.default}`]),
      ...(long.length > 0 ? [`also ${long.join(', ')}`] : []),
    ];
    const head = value === undefined ? `--${name}` : `--${name} ${value}`;
    return [head, [help, ...details.map((detail) => `(${detail})`)].join(' ')] as const;
  });
  const width = Math.max(...entries.map(([head]) => head.length)) + 3;
  const indent = ' '.repeat(width + 2);
  return entries
    .map(([head, help]) => `  ${head.padEnd(width)}${wrapped(help, COLUMNS - width - 2).join(`\n${indent}`)}`)
    .join('\n');
}

/** Max columns of a help. */
const COLUMNS = 100;

/** Returns a text as lines of at most `columns`, broken between words; a longer word has a line of its own. */
export function wrapped(text: string, columns = COLUMNS): string[] {
  if (text.length <= columns) return [text];
  const lines = [''];
  for (const word of text.split(' ')) {
    const line = lines.at(-1);
    if (line === '' || `${line} ${word}`.length <= columns)
      lines[lines.length - 1] = line ? `${line} ${word}` : word;
    else lines.push(word);
  }
  return lines;
}

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
