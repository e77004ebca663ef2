/** @file The terminal of a command. Writing to it may fail: on a full disk, a closed pipe, a terminal that is gone. */

import { AcditError } from '../errors.ts';
import { describeWriteProblem } from '../io/atomic-write.ts';

/** The part of a stream that is used; `process.stderr` is one. */
export interface TerminalStream {
  write(text: string): unknown;
  readonly isTTY?: boolean;
  readonly columns?: number;
}

/** Where a command writes, and what stops it. */
export interface Terminal {
  /** Results. */
  readonly stdout: TerminalStream;
  /** Progress and problems. */
  readonly stderr: TerminalStream;
  /** Aborted by Ctrl-C. */
  readonly signal: AbortSignal;
}

/** Codes that mean that the reader has left, such as `head` or a closed terminal. */
const READER_LEFT = new Set(['EPIPE', 'EIO', 'ECONNRESET', 'ERR_STREAM_DESTROYED']);

/** The part of `process.stdout` that is used. */
export interface RawStream extends TerminalStream {
  on(event: 'error', listener: (error: NodeJS.ErrnoException) => void): unknown;
}

/**
 * Guards a stream: the first write that fails is reported, and what is written after it is dropped, so that a command can
 * still save its work.
 * @param name as messages call the stream.
 * @param onFailure gets an {@link AcditError} if the text could not be stored, or undefined if the reader has left.
 */
export function guardStream(
  stream: RawStream,
  name: string,
  onFailure: (problem: AcditError | undefined) => void,
): TerminalStream {
  let failed = false;
  const fail = (cause: NodeJS.ErrnoException): void => {
    if (failed) return;
    failed = true;
    if (READER_LEFT.has(cause.code ?? '')) onFailure(undefined);
    else onFailure(new AcditError(`cannot write ${name}: ${describeWriteProblem(cause)}`, { cause }));
  };
  stream.on('error', fail);
  return {
    write(text) {
      if (failed) return;
      try {
        stream.write(text);
      } catch (error) {
        fail(error as NodeJS.ErrnoException);
      }
    },
    get isTTY() {
      return stream.isTTY === true;
    },
    get columns() {
      return stream.columns || 80;
    },
  };
}
