/** @file The one place that turns errors into messages and exit codes. */

import { AcditError } from '../errors.ts';
import { printable, printableLines, printableMessage } from '../io/printable.ts';
import type { Terminal } from './terminal.ts';

/** Exit codes. A check that ran and failed, as of `verify`, is 1 too. */
export const EXIT = { failure: 1, badInput: 2, interrupted: 130 } as const;

/** Report an error, and give the exit code for it. */
export function reportFailure(error: unknown, verbose: boolean, { stderr, signal }: Terminal): number {
  const outOfMemory = isOutOfMemory(error);
  if (outOfMemory || error instanceof AcditError || isSystemError(error)) {
    const { message } = error;
    const problem = outOfMemory
      ? `there is not enough memory for this (${printable(message)}); use a smaller --batch or model, or free some memory`
      : printableMessage(message);
    stderr.write(`acdit: ${problem}\n`);
    if (verbose) stderr.write(`${printableLines(stackOf(error))}\n`);
    return EXIT.badInput;
  }
  if (signal.aborted && error === signal.reason) return EXIT.interrupted;
  stderr.write(`acdit: this is a bug in acdit, please report it\n${printableLines(stackOf(error))}\n`);
  return EXIT.failure;
}

/** Messages of V8, Node and ONNX Runtime when memory cannot be allocated. */
const ALLOCATION_FAILURE =
  /^(Array buffer allocation failed|Invalid (typed array|array buffer) length: \d{9,}|Invalid string length|WebAssembly\.Memory)|bad_alloc|Failed to allocate memory|ERR_MEMORY_ALLOCATION_FAILED/;

function isOutOfMemory(error: unknown): error is Error {
  if (!(error instanceof Error) || error instanceof AcditError) return false;
  const { code = '' } = error as NodeJS.ErrnoException;
  return code === 'ENOMEM' || ALLOCATION_FAILURE.test(error.message) || ALLOCATION_FAILURE.test(code);
}

/** What the operating system refused, such as a file without permission: nothing a stack would explain. */
function isSystemError(error: unknown): error is NodeJS.ErrnoException {
  return error instanceof Error && 'syscall' in error && 'code' in error;
}

function stackOf(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  const cause = error.cause === undefined ? '' : `\ncaused by ${stackOf(error.cause)}`;
  return `${error.stack ?? error.message}${cause}`;
}
