/**
 * @file Makes foreign text safe to show: names and texts of files, classes, servers and JSON that anyone may have
 * written. All foreign text in a message or on the terminal goes through here.
 */

import { MAX_MESSAGE_LENGTH } from '../errors.ts';

/** Max characters of a name or value in a message. */
const NAME_LENGTH = 80;
const STACK_LINES = 100;

const BREAKS = /[\t\n\v\f\r\u0085\u2028\u2029]+/g;
/**
 * Characters that control a terminal, that reorder or hide the text around them, or that are not characters: controls
 * (and so every escape sequence), bidi marks and other invisible formatting, lone surrogates. The joiners U+200C and
 * U+200D stay, since scripts and emoji need them.
 */
const UNPRINTABLE = /(?![\u200c\u200d])[\p{Cc}\p{Cf}\p{Cs}]/gu;

/**
 * Returns a value as one line of text that is safe to show. Letters of all scripts stay; a line break becomes a space,
 * any other unprintable character a question mark. Lists and objects are named, not printed.
 * @param length max characters; a longer text ends in `...`.
 */
export function printable(value: unknown, length = NAME_LENGTH): string {
  const isObject = typeof value === 'object' && value !== null;
  const text = isObject ? (Array.isArray(value) ? 'a list' : 'an object') : String(value);
  // A character takes at most two units, and line breaks in a row become one space.
  const start = text.slice(0, 2 * length + 2);
  const characters = [...start.replace(BREAKS, ' ').replace(UNPRINTABLE, '?')];
  if (characters.length <= length && start.length === text.length) return characters.join('');
  return `${characters.slice(0, length - 3).join('')}...`;
}

/** Returns the first values as {@link printable} text with commas between, and how many more there are. */
export function printableList(values: Iterable<unknown>, shown = 8): string {
  const all = [...values];
  const first = all.slice(0, shown).map((value) => printable(value));
  if (all.length > shown) first.push(`and ${all.length - shown} more`);
  return first.length === 0 ? 'none' : first.join(', ');
}

/** Returns the first problems of a file, and how many more there are. */
export function problemList(problems: readonly string[], shown: number): string {
  const more = problems.length > shown ? `; and ${problems.length - shown} more` : '';
  return problems.slice(0, shown).join('; ') + more;
}

/** Returns a whole message as one printable line: the last guard before it is shown. */
export function printableMessage(message: string): string {
  return printable(message.replace(/\s*\n\s*/g, ' '), MAX_MESSAGE_LENGTH);
}

/** Returns a text of several lines, such as a stack, with each line printable. */
export function printableLines(text: string): string {
  const lines = text.split('\n').slice(0, STACK_LINES);
  return lines.map((line) => printable(line, MAX_MESSAGE_LENGTH)).join('\n');
}

/**
 * Returns JSON without characters that control a terminal: those are escaped, so the value stays the same.
 * JSON itself escapes only some of them.
 */
export function printableJson(value: unknown): string {
  return JSON.stringify(value).replace(UNPRINTABLE, (character) =>
    character
      .split('')
      .map((unit) => `\\u${unit.charCodeAt(0).toString(16).padStart(4, '0')}`)
      .join(''),
  );
}
