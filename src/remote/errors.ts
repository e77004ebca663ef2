/** @file Errors on their way between threads and processes, which copy only their messages: encoded with their class. */

import * as errors from '../errors.ts';
import { printable, printableLines } from '../io/printable.ts';

type ErrorClass = new (...args: never[]) => Error;
type Field = string | number | boolean | readonly string[];

/** An error as plain data. All its text is printable and bounded. */
export interface EncodedError {
  /** The class of `errors.ts` that it is an instance of, or `Error`. */
  readonly type: string;
  readonly name: string;
  readonly message: string;
  readonly stack: string | undefined;
  /** Its other properties, such as the `status` of an `ApiError`. */
  readonly fields: Readonly<Record<string, Field>>;
}

const MAX_STACK_LENGTH = 16_000;
/** Max fields of an error, and values of a field. */
const MAX_FIELDS = 16;

const CLASSES: ReadonlyMap<string, ErrorClass> = new Map(
  Object.entries(errors).flatMap(([name, value]) =>
    typeof value === 'function' ? [[name, value] as const] : [],
  ),
);

/** Returns an error, or anything else that was thrown, as plain data. */
export function encodeError(thrown: unknown): EncodedError {
  const error = thrown instanceof Error ? thrown : new Error(printable(thrown));
  const { name, message, stack, cause: _, ...others } = error;
  const fields = Object.entries(others)
    .map(([key, value]) => [key, fieldOf(value)] as const)
    .filter((entry): entry is [string, Field] => entry[1] !== undefined);
  return {
    type: classOf(error),
    name: printable(name),
    message: textOf(message, errors.MAX_MESSAGE_LENGTH),
    stack: stack === undefined ? undefined : textOf(stack, MAX_STACK_LENGTH),
    fields: Object.fromEntries(fields.slice(0, MAX_FIELDS)),
  };
}

/** Returns the error again, as an instance of its class, with the stack of where it was thrown. */
export function reviveError({ type, name, message, stack, fields }: EncodedError): Error {
  // Not by the class's own constructor: each has other parameters.
  const error: Error = Reflect.construct(Error, [message], CLASSES.get(type) ?? Error);
  return Object.assign(error, fields, { name, stack });
}

/** Returns the name of the most derived class of `errors.ts` that an error is an instance of. */
function classOf(error: Error): string {
  let [nearest, nearestClass]: [string, ErrorClass] = ['Error', Error];
  for (const [name, type] of CLASSES) {
    if (error instanceof type && type.prototype instanceof nearestClass)
      [nearest, nearestClass] = [name, type];
  }
  return nearest;
}

function textOf(text: unknown, length: number): string {
  return printableLines(String(text).slice(0, length));
}

function fieldOf(value: unknown): Field | undefined {
  if (typeof value === 'string') return textOf(value, errors.MAX_MESSAGE_LENGTH);
  if (typeof value === 'number' || typeof value === 'boolean') return value;
  if (!Array.isArray(value) || value.some((item) => typeof item !== 'string')) return undefined;
  return value.slice(0, MAX_FIELDS).map((item) => printable(item));
}
