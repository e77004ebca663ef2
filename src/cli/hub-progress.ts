/** @file What a download from the hub shows on the terminal. */

import type { HubEvent } from '../hub/events.ts';
import { formatBytes } from '../hub/sizes.ts';
import { printable, printableMessage } from '../io/printable.ts';
import type { Terminal } from './command.ts';
import { formatDuration, type Progress, startProgress } from './progress.ts';

/** Smaller files are there before a bar could be read. */
const SHORT = 1e6;

export interface HubProgress {
  onEvent(event: HubEvent): void;
  /** End the line, and say what is kept if the download was interrupted. */
  close(): void;
}

/** A bar for each large file, and a line for what is out of the ordinary. */
export function hubProgress({ stderr, signal }: Terminal, quiet: boolean): HubProgress {
  let progress: Progress | undefined;
  let state: { readonly done: number; readonly size: number } | undefined;
  const say = (message: string): void => {
    if (quiet) return;
    const line = printableMessage(message);
    if (progress) progress.log(line);
    else stderr.write(`${line}\n`);
  };
  const finish = (): void => {
    progress?.finish();
    progress = undefined;
  };
  return {
    onEvent(event) {
      switch (event.kind) {
        case 'start':
          state = event;
          if (event.done > 0) say(`${event.file}: ${formatBytes(event.done)} are there already`);
          if (event.size - event.done >= SHORT) progress = startBar(event, stderr, quiet);
          break;
        case 'progress':
          state = event;
          progress?.update(inUnits(event.done, event.size));
          break;
        case 'verify':
          progress?.update(inUnits(event.size, event.size), {
            checked: `${Math.floor((100 * event.done) / Math.max(event.size, 1))}%`,
          });
          break;
        case 'retry':
          say(`${event.file}: ${event.reason}; trying again in ${formatDuration(event.delay / 1000)}`);
          break;
        case 'waiting':
          say(`${event.file}: waiting for another process that downloads it`);
          break;
        case 'damaged':
          stderr.write(
            `warning: ${printableMessage(`${event.path} differs from ${event.file} on the hub`)}; it is not used\n`,
          );
          break;
        case 'unreachable':
          stderr.write(
            `warning: ${printableMessage(event.reason)}; ${printable(event.file)} is taken from the cache\n`,
          );
          break;
        case 'done':
        case 'cached':
          finish();
          state = undefined;
      }
    },
    close() {
      finish();
      if (signal.aborted && state) {
        say(
          `${formatBytes(state.done)} of ${formatBytes(state.size)} are kept; the same command goes on from there`,
        );
      }
    },
  };
}

function startBar(
  { file, done, size }: HubEvent & { kind: 'start' },
  stream: Terminal['stderr'],
  quiet: boolean,
) {
  return startProgress({
    stream,
    total: inUnits(size, size),
    start: inUnits(done, size),
    label: `download ${file.split('/').at(-1)}`,
    unit: unitOf(size),
    quiet,
  });
}

function unitOf(size: number): 'MB' | 'kB' {
  return size >= 1e7 ? 'MB' : 'kB';
}

function inUnits(bytes: number, size: number): number {
  return Math.floor(bytes / (unitOf(size) === 'MB' ? 1e6 : 1e3));
}
