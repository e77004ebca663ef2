/** @file What is right when damaged input is read: one of the package's own errors, in one bounded line. */

import { AcditError } from '../../src/errors.ts';

/** Characters of a message, which quotes a few names of at most 80. */
const LONGEST_MESSAGE = 2000;

/** Returns what is wrong with a message. */
export function messageProblem(message: string): string | undefined {
  if (message === '') return 'the message is empty';
  if (message.length > LONGEST_MESSAGE)
    return `a message of ${message.length} characters: ${message.slice(0, 200)}`;
  const control = /[\p{Cc}\u202a-\u202e\u2066-\u2069]/u.exec(message);
  return control === null ? undefined : `a control character in ${JSON.stringify(message.slice(0, 400))}`;
}

/** Returns what is wrong with an error that a reader threw. */
export function errorProblem(error: unknown): string | undefined {
  if (error instanceof AcditError) return messageProblem(error.message);
  return `not an error of this package: ${error instanceof Error ? error.stack : String(error)}`;
}
