/** @file The reporter of the commands: progress and messages on standard error, results on standard output. */

import { printableJson, printableLines, printableMessage } from '../io/printable.ts';
import type { Reporter } from '../runs/reporter.ts';
import { startProgress, type TerminalProgress } from './progress.ts';
import type { Terminal } from './terminal.ts';

/** A reporter that also prints results. */
export interface TerminalReporter extends Reporter {
  /** Prints a result as a line, unless results are JSON. */
  print(text: string): void;
}

/**
 * Returns a reporter that writes messages above the bar of the work in progress. If `quiet`, it shows no progress and no
 * messages except warnings and notes. With `json`, it is quiet, and prints events as JSON lines instead of results.
 */
export function terminalReporter(
  { stdout, stderr }: Terminal,
  { quiet = false, json = false }: { readonly quiet?: boolean; readonly json?: boolean },
): TerminalReporter {
  const silent = quiet || json;
  let active: TerminalProgress | undefined;
  const line = (text: string): void => {
    if (active) active.log(text);
    else stderr.write(`${text}\n`);
  };
  return {
    say(message) {
      if (!silent) line(printableLines(message));
    },
    warn: (message) => line(`warning: ${printableMessage(message)}`),
    note: (message) => line(`note: ${printableMessage(message)}`),
    emit(event) {
      if (json) stdout.write(`${printableJson(event)}\n`);
    },
    print(text) {
      if (!json) stdout.write(`${text}\n`);
    },
    progress(work) {
      const progress = startProgress({ ...work, stream: stderr, quiet: silent });
      active = progress;
      return {
        update: progress.update,
        finish() {
          progress.finish();
          if (active === progress) active = undefined;
        },
      };
    },
  };
}
