/** @file JSON texts of files that anyone may have written, checked against a schema. */

import type { z } from 'zod';
import { printable, problemList } from './printable.ts';

/** An error class of this package. */
type Fault = new (message: string, options?: ErrorOptions) => Error;

/** More would not help to identify a file. */
const SHOWN_PROBLEMS = 5;
const PROBLEM_LENGTH = 160;

/** More than in any of our files, and few enough for functions that walk the value, such as `JSON.stringify`. */
const MAX_DEPTH = 100;

/** The byte order mark that some editors of Windows write before UTF-8. */
const BYTE_ORDER_MARK = /^\ufeff/;
/** The beginning of UTF-16 that is read as UTF-8. */
const UTF_16 = /^\ufffd{2}|^[[{]\0/;

/**
 * Parses a text; a byte order mark before it is ignored.
 * @param advice what follows from a text that is not JSON, and what to do; appended to the message.
 * @throws {Fault} if it is not JSON, or is nested more than 100 levels deep.
 */
export function parseJson(text: string, name: string, Fault: Fault, advice = ''): unknown {
  let value: unknown;
  try {
    value = JSON.parse(withoutByteOrderMark(text));
  } catch (cause) {
    const hint = UTF_16.test(text) ? 'it seems to be UTF-16; save it as UTF-8' : (cause as Error).message;
    throw new Fault(`${name}: not valid JSON (${printable(hint, PROBLEM_LENGTH)})${advice}`, { cause });
  }
  if (isTooDeep(value)) throw new Fault(`${name}: its JSON is nested more than ${MAX_DEPTH} levels deep`);
  return value;
}

/** Returns a text without the byte order mark before it. */
export function withoutByteOrderMark(text: string): string {
  return text.replace(BYTE_ORDER_MARK, '');
}

/** Goes level by level, since a deep value would break recursion. */
function isTooDeep(value: unknown): boolean {
  let level = [value].filter(isObject);
  for (let depth = 0; depth < MAX_DEPTH; depth++) {
    level = level.flatMap((item) => Object.values(item)).filter(isObject);
  }
  return level.length > 0;
}

function isObject(value: unknown): value is object {
  return typeof value === 'object' && value !== null;
}

/** Whether a value is a JSON object, not an array. */
export function isRecord(value: unknown): value is Record<string, unknown> {
  return isObject(value) && !Array.isArray(value);
}

/**
 * Parses a text and checks what it holds.
 * @param otherwise what to say of a file that does not fit, before what does not fit.
 * @throws {Fault} if it is not JSON, does not fit the schema, or has a key `__proto__`, which schemas leave out in silence.
 */
export function parseJsonOf<T>(
  text: string,
  name: string,
  schema: z.ZodType<T>,
  otherwise: string,
  Fault: Fault,
): T {
  const value = parseJson(text, name, Fault, `, so ${otherwise}`);
  if (hasPrototypeKey(value)) throw new Fault(`${name}: ${otherwise}: __proto__ cannot be a key`);
  const result = schema.safeParse(value);
  if (result.success) return result.data;
  const problems = plainIssues(result.error.issues).map(
    ({ path, message }) => `${printable(path.join('.') || 'file')}: ${printable(message, PROBLEM_LENGTH)}`,
  );
  throw new Fault(`${name}: ${otherwise}: ${problemList(problems, SHOWN_PROBLEMS)}`);
}

function hasPrototypeKey(value: unknown): boolean {
  return isObject(value) && (Object.hasOwn(value, '__proto__') || Object.values(value).some(hasPrototypeKey));
}

/**
 * Returns issues of a schema without those of unions, which do not say what was expected: they become the issues inside the
 * object that was meant, or else one that lists what each option expects.
 */
export function plainIssues(issues: readonly z.core.$ZodIssue[]): z.core.$ZodIssue[] {
  return issues.flatMap((issue) => {
    if (issue.code !== 'invalid_union' || issue.message !== UNEXPLAINED) return [issue];
    const options = issue.errors.map((option) => plainIssues(option));
    const inside = options.find((option) => option.length > 0 && option.every(isInside));
    if (inside) return inside.map((found) => ({ ...found, path: [...issue.path, ...found.path] }));
    const texts = options.map((option) =>
      option.map(({ message }) => message.replace(/^Invalid (input|option): /, '')).join(', '),
    );
    return [{ ...issue, message: `${UNEXPLAINED}: ${texts.join(', or ')}` }];
  });
}

/** What zod says of a union that has no message of its own. */
const UNEXPLAINED = 'Invalid input';

/** Whether the value has the right type, and something in it is wrong. */
function isInside({ code, path }: z.core.$ZodIssue): boolean {
  return path.length > 0 || code === 'unrecognized_keys';
}
