/**
 * @file A log of numbers as JSON lines, `{"step":1,"time":1700000000.5,"loss":0.1}`, that survives a kill at any time.
 */

import {
  appendFileSync,
  closeSync,
  existsSync,
  mkdirSync,
  openSync,
  readFileSync,
  renameSync,
  writeFileSync,
} from 'node:fs';
import { dirname } from 'node:path';
import { attempt } from '../../attempt.ts';
import { explainedSync } from '../../io/atomic-write.ts';
import { isRecord } from '../../io/json.ts';
import type { Tracker } from './tracker.ts';

/** A line of the log; `time` is in seconds since 1970. A number that is not finite is `null`. */
export interface MetricsLine {
  readonly step: number;
  readonly time: number;
  readonly [name: string]: number | null;
}

/**
 * Logs to a file, one line per call, after the existing lines of the steps up to `resumedStep`. Images are not logged.
 * @throws {AcditError} if the file cannot be written; so may every call.
 */
export function openJsonlTracker(path: string, resumedStep = 0, now: () => number = Date.now): Tracker {
  const file = explainedSync(path, () => {
    mkdirSync(dirname(path), { recursive: true });
    dropLinesAfter(path, resumedStep);
    return openSync(path, 'a');
  });
  return {
    scalars(step, record) {
      const line = `${JSON.stringify({ step, time: now() / 1000, ...record })}\n`;
      explainedSync(path, () => appendFileSync(file, line));
    },
    image() {},
    close: () => closeSync(file),
  };
}

/** The lines of a log; one that is not complete, as after a kill, is left out. */
export function readMetrics(path: string): MetricsLine[] {
  return readFileSync(path, 'utf8').split('\n').flatMap(parseLine);
}

/** Keeps only the lines of the steps up to `step`; the file is replaced atomically. */
function dropLinesAfter(path: string, step: number): void {
  if (!existsSync(path)) return;
  const kept = readMetrics(path).filter((line) => line.step <= step);
  const text = kept.map((line) => `${JSON.stringify(line)}\n`).join('');
  if (text === readFileSync(path, 'utf8')) return;
  writeFileSync(`${path}.tmp`, text, { flush: true });
  renameSync(`${path}.tmp`, path);
}

function parseLine(line: string): MetricsLine[] {
  const parsed: unknown = attempt(() => JSON.parse(line), undefined);
  return isRecord(parsed) && typeof parsed.step === 'number' ? [parsed as MetricsLine] : [];
}
