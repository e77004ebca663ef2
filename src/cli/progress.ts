/**
 * @file One line of progress: a bar that is rewritten in place on a terminal, a plain line every few seconds
 * elsewhere, nothing when quiet.
 */

import { at } from '../at.ts';
import { formatDuration } from '../io/quantities.ts';
import type { Progress, WorkOptions } from '../runs/reporter.ts';
import type { TerminalStream } from './terminal.ts';

export interface TerminalProgress extends Progress {
  /** Writes a line of its own, above the bar; also if quiet. */
  log(message: string): void;
}

/** The state of some work at one moment. */
export interface ProgressState {
  readonly label: string;
  readonly done: number;
  readonly total: number;
  readonly unit: string;
  /** Steps per second; `undefined` until it is known. */
  readonly speed: number | undefined;
  readonly fields: Readonly<Record<string, string>>;
}

const BAR_WIDTH = 24;
const DEFAULT_WIDTH = 80;
/** A terminal line is rewritten at most this often, in milliseconds. */
const REDRAW_INTERVAL = 100;
/** The same where there is no terminal, so that each is a line. */
const PLAIN_INTERVAL = 5000;
/** The speed is that of about the last this many seconds. */
const SPEED_WINDOW = 20;
const CLEAR_LINE = '\r\u001b[K';

/** Follows some work on a stream. If `quiet`, only logged messages are written. `now` is in milliseconds, for tests. */
export function startProgress(
  options: WorkOptions & { stream: TerminalStream; quiet?: boolean; now?: () => number },
): TerminalProgress {
  const { stream, total, start = 0, label, unit = 'step', quiet = false, now = Date.now } = options;
  const isTerminal = stream.isTTY === true;
  const interval = isTerminal ? REDRAW_INTERVAL : PLAIN_INTERVAL;
  const meter = speedMeter(start, now());
  let state: ProgressState = { label, done: start, total, unit, speed: undefined, fields: {} };
  let lastShown = Number.NEGATIVE_INFINITY;
  let shown: ProgressState | undefined;

  const show = () => {
    if (quiet || shown === state) return;
    if (isTerminal) stream.write(CLEAR_LINE + terminalLine(state, widthOf(stream)));
    else stream.write(`${plainLine(state)}\n`);
    shown = state;
    lastShown = now();
  };
  return {
    update(done, fields = state.fields) {
      state = { ...state, done, fields, speed: meter(done, now()) };
      if (now() - lastShown >= interval) show();
    },
    log(message) {
      const redraw = isTerminal && shown !== undefined;
      stream.write(`${redraw ? CLEAR_LINE : ''}${message}\n`);
      if (redraw) stream.write(terminalLine(shown ?? state, widthOf(stream)));
    },
    finish() {
      show();
      if (isTerminal && shown) stream.write('\n');
    },
  };
}

/** A terminal's width; some report 0 when they do not know it. */
function widthOf({ columns }: TerminalStream): number {
  return columns || DEFAULT_WIDTH;
}

/** Cut to the terminal's width, because a line that wraps cannot be rewritten in place. */
export function terminalLine(state: ProgressState, columns: number): string {
  const share = state.total > 0 ? Math.min(state.done / state.total, 1) : 1;
  const filled = Math.round(share * BAR_WIDTH);
  const bar = '█'.repeat(filled) + '░'.repeat(BAR_WIDTH - filled);
  const parts = [`${state.label} ${bar} ${state.done}/${state.total}`, ...details(state)];
  return parts.join('  ').slice(0, Math.max(columns - 1, 1));
}

/** The same without the bar. */
export function plainLine(state: ProgressState): string {
  return [`${state.label} ${state.done}/${state.total}`, ...details(state)].join('  ');
}

/** Steps per second or, for slow work, seconds per step. Symbols of units, such as MB, have no plural. */
export function formatSpeed(speed: number, unit: string): string {
  const units = /^[kMG]?B$/.test(unit) ? unit : `${unit}${unit.endsWith('s') ? 'es' : 's'}`;
  return speed >= 1 ? `${significant(speed)} ${units}/s` : `${significant(1 / speed)} s/${unit}`;
}

function significant(value: number): string {
  return value >= 100 ? value.toFixed(0) : value.toPrecision(3);
}

function details({ fields, speed, unit, done, total }: ProgressState): string[] {
  const named = Object.entries(fields).map(([name, value]) => `${name} ${value}`);
  if (!speed) return named;
  const left = done < total ? [`${formatDuration((total - done) / speed)} left`] : [];
  return [...named, formatSpeed(speed, unit), ...left];
}

/** Speed over the last seconds; `undefined` until time has passed. */
function speedMeter(start: number, startTime: number) {
  const marks = [{ done: start, time: startTime }];
  return (done: number, time: number): number | undefined => {
    // One mark a second is enough, however fast the steps are.
    if (time - at(marks, -1).time >= 1000) marks.push({ done, time });
    while (marks.length > 2 && time - at(marks, 1).time > SPEED_WINDOW * 1000) marks.shift();
    const { done: doneThen, time: then } = at(marks, 0);
    return time > then && done > doneThen ? ((done - doneThen) * 1000) / (time - then) : undefined;
  };
}
