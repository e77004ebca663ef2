/** @file Ctrl-C: the first asks the work to end cleanly, the second ends it at once. */

import { EXIT } from './failure.ts';

/** `npm` passes on a Ctrl-C that the terminal has sent too: signals this close, in milliseconds, are one. */
const SAME_SIGNAL = 250;

/** A signal that is aborted by SIGINT or SIGTERM, and when nobody reads our output any more. */
export function abortOnInterruption(): AbortSignal {
  const controller = new AbortController();
  let first: number | undefined;
  const stop = (): void => {
    if (first === undefined) {
      first = Date.now();
      if (process.stderr.isTTY) process.stderr.write('\nstopping; Ctrl-C again quits at once\n');
      controller.abort(new Error('interrupted'));
    } else if (Date.now() - first > SAME_SIGNAL) process.exit(EXIT.interrupted);
  };
  process.on('SIGINT', stop);
  process.on('SIGTERM', stop);
  for (const stream of [process.stdout, process.stderr]) {
    // As in `acdit train 2>&1 | head`: no error, but a reason to end.
    stream.on('error', (error: NodeJS.ErrnoException) => {
      if (error.code !== 'EPIPE' && error.code !== 'ERR_STREAM_DESTROYED') throw error;
      controller.abort(new Error('nobody reads the output'));
    });
  }
  return controller.signal;
}
