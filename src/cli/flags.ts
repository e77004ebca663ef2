/** @file Flags as data: one table serves parsing, suggestions and help. */

import { parseArgs } from 'node:util';
import { ArgumentError } from '../errors.ts';
import { didYouMean } from '../nearest.ts';

export interface Flag {
  readonly type: 'string' | 'boolean';
  readonly help: string;
  /** What stands for the value in the help, such as N or FILE. */
  readonly value?: string;
  /** Other names, such as those of the official scripts. */
  readonly aliases?: readonly string[];
}

export type Flags = Readonly<Record<string, Flag>>;

/** Values of the flags that were given. */
export type FlagValues<F extends Flags> = {
  readonly [Name in keyof F]?: F[Name]['type'] extends 'boolean' ? boolean : string;
};

export interface ParsedArguments<F extends Flags> {
  readonly values: FlagValues<F>;
  readonly positionals: readonly string[];
  /** Flags that matched the free form, in the order given. */
  readonly free: readonly (readonly [name: string, value: string])[];
}

/**
 * Parse arguments by a table of flags. Of a flag given twice the last counts.
 * @param freeForm flags whose name matches are taken too, with a value, though they are not in the table.
 * @throws {ArgumentError} for an unknown flag, naming the nearest known one; a missing or needless value.
 */
export function parseFlags<F extends Flags>(
  args: readonly string[],
  flags: F,
  freeForm?: RegExp,
): ParsedArguments<F> {
  const names = new Map(
    Object.entries(flags).flatMap(([name, { aliases = [] }]) => [name, ...aliases].map((n) => [n, name])),
  );
  const isFree = (name: string): boolean => freeForm?.test(name) === true && !names.has(name);
  const types = [...names].map(([name, canonical]) => [name, { type: flags[canonical].type }] as const);
  const freeTypes = args.flatMap((arg) => {
    const name = /^--([^=]+)/.exec(arg)?.[1];
    return name !== undefined && isFree(name) ? [[name, { type: 'string' }] as const] : [];
  });
  const { tokens, positionals } = parseArgs({
    args: [...args],
    options: Object.fromEntries([...types, ...freeTypes]),
    strict: false, // our messages say more
    allowPositionals: true,
    tokens: true,
  });
  const values: Record<string, string | boolean> = {};
  const free: [string, string][] = [];
  for (const token of tokens) {
    if (token.kind !== 'option') continue;
    const name = names.get(token.name);
    if (name !== undefined && flags[name].type === 'boolean') {
      if (token.value !== undefined) throw new ArgumentError(`${token.rawName} takes no value`);
      values[name] = true;
    } else if (name !== undefined) values[name] = requireValue(token);
    else if (isFree(token.name)) free.push([token.name, requireValue(token)]);
    else {
      const suggestion = didYouMean(token.name, [...names.keys()], (known) => `--${known}`);
      throw new ArgumentError(`unknown flag ${token.rawName}${suggestion || '; --help lists the flags'}`);
    }
  }
  return { values: values as FlagValues<F>, positionals, free };
}

/** A flag where a value should be is a forgotten value; a negative number is not. */
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

/** The flags as aligned lines. */
export function describeFlags(flags: Flags): string {
  const entries = Object.entries(flags).map(([name, { value, help, aliases = [] }]) => {
    const head = value ? `--${name} ${value}` : `--${name}`;
    const long = aliases.filter((alias) => alias.length > 1).map((alias) => `--${alias}`);
    return [head, long.length > 0 ? `${help} (also ${long.join(', ')})` : help] as const;
  });
  const width = Math.max(...entries.map(([head]) => head.length)) + 3;
  return entries.map(([head, help]) => `  ${head.padEnd(width)}${help}`).join('\n');
}
