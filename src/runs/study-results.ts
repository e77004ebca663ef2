/** @file The results of a study: a number per metric and run, their means and deviations over seeds, and tables. */

import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { parameterCount } from '../models/acdit/weights.ts';
import { type MetricsLine, readMetrics } from '../training/logging/jsonl.ts';
import { METRICS_FILE } from '../training/logging/open.ts';
import { LAST_SHARE, type Study, type StudyRun } from './study-file.ts';
import { isFigure } from './study-metrics.ts';

/** What became of a run, besides what its folder holds. */
export interface StudyOutcome {
  /** Why its training ended early, if it did: the loss was no longer a number. */
  readonly failed?: string | undefined;
  /** The measured cost of a sample, by the name of the metric. */
  readonly sampling?: Readonly<Record<string, number>> | undefined;
}

/** A run with its numbers; a metric that it does not have is missing. */
export interface StudyRow {
  readonly run: StudyRun;
  readonly failed: string | undefined;
  readonly values: Readonly<Record<string, number>>;
}

/** Runs that differ only in their seeds. */
export interface StudyGroup {
  readonly labels: readonly string[];
  readonly rows: readonly StudyRow[];
  readonly summary: Readonly<Record<string, Summary>>;
}

/** Statistics over seeds. */
export interface Summary {
  readonly count: number;
  readonly mean: number;
  /** Standard deviation of the sample; undefined for one number. */
  readonly deviation: number | undefined;
}

/** Returns the numbers of a run that has ended. */
export function studyRow(study: Study, run: StudyRun, { failed, sampling = {} }: StudyOutcome): StudyRow {
  const path = join(run.recipe.output.folder, METRICS_FILE);
  const lines = existsSync(path) ? readMetrics(path) : [];
  const { steps, batch, accumulate } = run.recipe.training;
  const figures = {
    operations: run.operations,
    parameters: parameterCount(run.config),
    steps,
    images: steps * batch * accumulate,
  };
  const numberOf = (name: string): number | null | undefined => {
    if (isFigure(name)) return figures[name];
    if (failed !== undefined) return undefined;
    if (Object.hasOwn(sampling, name)) return sampling[name];
    return name === 'loss' ? lastLoss(lines, steps) : lastValue(lines, name);
  };
  const found = study.metrics.map(({ name }) => [name, numberOf(name)] as const);
  const isNumber = (entry: readonly [string, number | null | undefined]): entry is [string, number] =>
    typeof entry[1] === 'number';
  return { run, failed, values: Object.fromEntries(found.filter(isNumber)) };
}

function lastLoss(lines: readonly MetricsLine[], steps: number): number | undefined {
  const last = lines.flatMap(({ step, loss }) =>
    step > (1 - LAST_SHARE) * steps && typeof loss === 'number' ? [loss] : [],
  );
  return last.length > 0 ? last.reduce((sum, loss) => sum + loss, 0) / last.length : undefined;
}

function lastValue(lines: readonly MetricsLine[], name: string): number | null | undefined {
  return lines.findLast((line) => line[name] !== undefined)?.[name];
}

/** Groups rows that differ only in their seeds, in the order of the axes. */
export function studyGroups(study: Study, rows: readonly StudyRow[]): StudyGroup[] {
  const groups = new Map<string, StudyRow[]>();
  for (const row of rows) {
    const key = JSON.stringify(row.run.labels);
    groups.set(key, [...(groups.get(key) ?? []), row]);
  }
  return [...groups].map(([key, found]) => {
    const summaries = study.metrics.flatMap(({ name }) => {
      const values = found.flatMap(({ values }) => values[name] ?? []);
      return values.length > 0 ? [[name, summaryOf(values)] as const] : [];
    });
    return { labels: JSON.parse(key) as string[], rows: found, summary: Object.fromEntries(summaries) };
  });
}

function summaryOf(values: readonly number[]): Summary {
  const mean = values.reduce((sum, value) => sum + value, 0) / values.length;
  const squares = values.reduce((sum, value) => sum + (value - mean) ** 2, 0);
  const deviation = values.length > 1 ? Math.sqrt(squares / (values.length - 1)) : undefined;
  return { count: values.length, mean, deviation };
}

/** A table of means with their deviations, as Markdown, below the title. */
export function markdownTable(study: Study, groups: readonly StudyGroup[]): string {
  const header = [...study.axes.map(({ name }) => name), 'runs', ...study.metrics.map(({ label }) => label)];
  const rows = groups.map(({ labels, rows, summary }) => {
    const failed = rows.filter((row) => row.failed !== undefined).length;
    const count = failed === 0 ? String(rows.length) : `${rows.length}, ${failed} failed`;
    return [...labels, count, ...study.metrics.map(({ name }) => summaryText(summary[name]))];
  });
  const line = (cells: readonly string[]): string =>
    `| ${cells.map((cell) => cell.replaceAll('|', '\\|').replace(/\s+/g, ' ')).join(' | ')} |`;
  const lines = [line(header), line(header.map(() => '---')), ...rows.map(line)];
  return `# ${study.title}\n\nMean ± standard deviation over the runs, which differ in their seeds.\n\n${lines.join('\n')}\n`;
}

function summaryText(summary: Summary | undefined): string {
  if (!summary) return '–';
  const { mean, deviation } = summary;
  return deviation === undefined ? shown(mean) : `${shown(mean)} ± ${shown(deviation, 2)}`;
}

/** Formats a number for a reader. */
export function shown(value: number, digits = 4): string {
  const size = Math.abs(value);
  if (Number.isInteger(value) && size < 1e6) return String(value);
  return size >= 1e6 || (size > 0 && size < 1e-3)
    ? value.toExponential(digits - 1)
    : String(Number(value.toPrecision(digits)));
}

/** One line per run, as CSV (RFC 4180). */
export function csvTable(study: Study, rows: readonly StudyRow[]): string {
  const cell = (text: string): string => (/[",\r\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text);
  const header = [
    ...study.axes.map(({ name }) => name),
    'seed',
    ...study.metrics.map(({ name }) => name),
    'failed',
  ];
  const lines = rows.map(({ run, failed = '', values }) => [
    ...run.labels,
    String(run.seed),
    ...study.metrics.map(({ name }) => String(values[name] ?? '')),
    failed,
  ]);
  return [header, ...lines].map((cells) => `${cells.map(cell).join(',')}\r\n`).join('');
}

/** All numbers, for programs. */
export function jsonResults(study: Study, groups: readonly StudyGroup[]): object {
  return {
    title: study.title,
    axes: study.axes.map(({ name, values }) => ({ name, values: values.map(({ label }) => label) })),
    metrics: study.metrics.map(({ name, label }) => ({ name, label })),
    groups: groups.map(({ labels, rows, summary }) => ({
      labels,
      summary,
      runs: rows.map(({ run, failed, values }) => ({
        name: run.name,
        seed: run.seed,
        steps: run.recipe.training.steps,
        operations: run.operations,
        ...(failed !== undefined && { failed }),
        values,
      })),
    })),
  };
}
