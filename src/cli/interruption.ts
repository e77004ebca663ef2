/**
 * @file The terminal of a command, and what ends its work early. The first signal asks it to save and stop; a second
 * Ctrl-C quits at once. Output that cannot be written stops it as the first signal does.
 */

import { STOP_SIGNALS } from '../stop-signals.ts';
import { EXIT } from './failure.ts';
import { guardStream, type RawStream, type Terminal } from './terminal.ts';

/** `npm` passes on a Ctrl-C that the terminal has sent too: signals this close, in milliseconds, are one. */
const SAME_SIGNAL = 250;

/** The streams and signals of a process, such as `process`. */
export interface InterruptibleProcess {
  readonly stdout: RawStream;
  readonly stderr: RawStream;
  on(signal: NodeJS.Signals, listener: (signal: NodeJS.Signals) => void): unknown;
  exit(code: number): unknown;
}

/**
 * Opens the terminal of a process. Its signal aborts at SIGINT, SIGTERM, SIGHUP or SIGUSR2, and when output cannot be written:
 * then its reason is an {@link AcditError} that says why, unless the reader has left.
 */
export function openTerminal(owner: InterruptibleProcess): Terminal {
  const controller = new AbortController();
  const outputFailed = (problem?: Error): void =>
    controller.abort(problem ?? new Error('nobody reads the output'));
  const stdout = guardStream(owner.stdout, 'standard output', outputFailed);
  const stderr = guardStream(owner.stderr, 'standard error', outputFailed);
  let first: number | undefined;
  const stop = (signal: NodeJS.Signals): void => {
    if (first === undefined) {
      first = Date.now();
      if (stderr.isTTY) stderr.write('\nstopping; Ctrl-C again quits at once\n');
      controller.abort(new Error('interrupted'));
      return;
    }
    // The shell and the system both report a closed terminal, so a second SIGHUP does not mean "quit at once".
    if (signal !== 'SIGHUP' && Date.now() - first > SAME_SIGNAL) owner.exit(EXIT.interrupted);
  };
  for (const signal of STOP_SIGNALS) owner.on(signal, stop);
  // Sent by batch systems some minutes before a job's time is up; it never means "quit at once".
  if (process.platform !== 'win32')
    owner.on('SIGUSR2', () => (first === undefined ? stop('SIGUSR2') : undefined));
  return { stdout, stderr, signal: controller.signal };
}
