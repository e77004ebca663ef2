/** @file A log of numbers as JSON lines, `{"step":1,"time":1700000000.5,"loss":0.1}`, that survives a kill at any time. */

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
import type { Tracker } from './tracker.ts';

/** A line of the log; `time` is in seconds since 1970. A number that is not finite is `null`. */
export interface MetricsLine {
  readonly step: number;
  readonly time: number;
  readonly [name: string]: number | null;
}

/**
 * Log to a file, one line a call, after the lines up to `resumedStep` that it has. Images are not logged.
 */
export function openJsonlTracker(path: string, resumedStep = 0, now: () => number = Date.now): Tracker {
  mkdirSync(dirname(path), { recursive: true });
  dropLinesAfter(path, resumedStep);
  const file = openSync(path, 'a');
  return {
    scalars(step, record) {
      appendFileSync(file, `${JSON.stringify({ step, time: now() / 1000, ...record })}\n`);
    },
    image() {},
    close: () => closeSync(file),
  };
}

/** The lines of a log; one that is not complete, as after a kill, is left out. */
export function readMetrics(path: string): MetricsLine[] {
  return readFileSync(path, 'utf8').split('\n').flatMap(parseLine);
}

/** Keep the lines of the steps up to `step`; the file is replaced as a whole. */
function dropLinesAfter(path: string, step: number): void {
  if (!existsSync(path)) return;
  const kept = readMetrics(path).filter((line) => line.step <= step);
  writeFileSync(`${path}.tmp`, kept.map((line) => `${JSON.stringify(line)}\n`).join(''));
  renameSync(`${path}.tmp`, path);
}

function parseLine(line: string): MetricsLine[] {
  try {
    const parsed: unknown = JSON.parse(line);
    const isLine = typeof parsed === 'object' && parsed !== null && 'step' in parsed;
    return isLine && typeof parsed.step === 'number' ? [parsed as MetricsLine] : [];
  } catch {
    return [];
  }
}
