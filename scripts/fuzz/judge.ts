/** @file Judges how damaged input was read: only the package's own errors are right, in one bounded line. */

import { AcditError, MAX_MESSAGE_LENGTH } from '../../src/errors.ts';
import { ConnectionProblem } from '../../src/hub/connection.ts';

/** Returns what is wrong with a message. */
export function messageProblem(message: string): string | undefined {
  if (message === '') return 'the message is empty';
  const { length } = [...message];
  if (length > MAX_MESSAGE_LENGTH) return `a message of ${length} characters: ${message.slice(0, 200)}`;
  const control = /[\p{Cc}\u202a-\u202e\u2066-\u2069]/u.exec(message);
  return control === null ? undefined : `a control character in ${JSON.stringify(message.slice(0, 400))}`;
}

/** Returns what is wrong with an error that a reader threw. */
export function errorProblem(error: unknown): string | undefined {
  // A network failure, which callers retry or report as a `HubError`.
  if (error instanceof AcditError || error instanceof ConnectionProblem) return messageProblem(error.message);
  return `not an error of this package: ${error instanceof Error ? error.stack : String(error)}`;
}
