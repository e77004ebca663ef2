/** @file Standard output and standard error. Writing may fail: on a full disk, a closed pipe, a terminal that is gone. */

import { AcditError } from '../errors.ts';
import { describeWriteProblem } from '../io/atomic-write.ts';
import type { TerminalStream } from './terminal.ts';

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
