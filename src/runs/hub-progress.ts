/** @file What a run reports of a download from the hub. */

import type { HubEvent } from '../hub/events.ts';
import { formatBytes, formatDuration } from '../io/quantities.ts';
import { type Progress, type Reporter, type RunContext, silentReporter } from './reporter.ts';

/** Smaller files arrive before a progress bar could be read. */
const SHORT = 1e6;

export interface HubProgress {
  onEvent(event: HubEvent): void;
  /** Ends the progress, and reports what is kept if the download was interrupted. */
  close(): void;
}

/** Reports the progress of each large file, and whatever is out of the ordinary. */
export function hubProgress({ report = silentReporter, signal }: RunContext): HubProgress {
  let progress: Progress | undefined;
  let state: { readonly done: number; readonly size: number } | undefined;
  const finish = (): void => {
    progress?.finish();
    progress = undefined;
  };
  return {
    onEvent(event) {
      switch (event.kind) {
        case 'start':
          state = event;
          if (event.done > 0) report.say(`${event.file}: ${formatBytes(event.done)} are there already`);
          if (event.size - event.done >= SHORT) progress = startProgress(event, report);
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
          report.say(`${event.file}: ${event.reason}; trying again in ${formatDuration(event.delay / 1000)}`);
          break;
        case 'waiting':
          report.say(`${event.file}: waiting for another process that downloads it`);
          break;
        case 'damaged':
          report.warn(`${event.path} differs from ${event.file} on the hub; it is not used`);
          break;
        case 'unreachable':
          report.warn(`${event.reason}; ${event.file} is taken from the cache`);
          break;
        case 'done':
        case 'cached':
          finish();
          state = undefined;
      }
    },
    close() {
      finish();
      if (signal?.aborted && state) {
        report.say(
          `${formatBytes(state.done)} of ${formatBytes(state.size)} are kept; the same command goes on from there`,
        );
      }
    },
  };
}

function startProgress({ file, done, size }: HubEvent & { kind: 'start' }, report: Reporter): Progress {
  return report.progress({
    total: inUnits(size, size),
    start: inUnits(done, size),
    label: `download ${file.split('/').at(-1)}`,
    unit: unitOf(size),
  });
}

function unitOf(size: number): 'MB' | 'kB' {
  return size >= 1e7 ? 'MB' : 'kB';
}

function inUnits(bytes: number, size: number): number {
  return Math.floor(bytes / (unitOf(size) === 'MB' ? 1e6 : 1e3));
}
