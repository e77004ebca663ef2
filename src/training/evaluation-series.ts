/**
 * @file Series of scores. Scores of a run are comparable only if its evaluations were made in the same way, so each way has a
 * name of its own in the logs: `evaluation`, and after a change `evaluation-2`. A file in the run's folder records the ways.
 */

import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { z } from 'zod';
import { CheckpointError } from '../errors.ts';
import { writeJsonAtomically } from '../io/atomic-write.ts';
import { isFile } from '../io/file-source.ts';
import { parseJsonOf } from '../io/json.ts';
import { printable } from '../io/printable.ts';
import { readMetrics } from './logging/jsonl.ts';
import { METRICS_FILE } from './logging/open.ts';

/** How a run's evaluations were made, by the names of their series. */
export const EVALUATIONS_FILE = 'evaluations.json';

/** What scores are made by, which begins the names of their series. */
export type SeriesKind = 'evaluation' | 'validation';

/** Everything that scores depend on besides the model, by name: settings, and fingerprints of networks and images. */
export type EvaluationSettings = Readonly<Record<string, string | number>>;

const seriesSchema = z.record(z.string(), z.record(z.string(), z.union([z.string(), z.number()])));

/**
 * Finds the series of a run whose scores were made with these settings, or begins and records one.
 * @param folder the run's folder, which must be locked.
 * @param kind `evaluation` by default; the series of each are numbered on their own.
 * @returns the name before the slash in the logs (`evaluation`, `evaluation-2` and so on) and, if the series begins now, why
 * the run has earlier scores that these cannot be compared with.
 * @throws {CheckpointError} if the record is damaged; {AcditError} if it cannot be written.
 */
export async function evaluationSeries(
  folder: string,
  settings: EvaluationSettings,
  kind: SeriesKind = 'evaluation',
): Promise<{ readonly name: string; readonly change?: string }> {
  const path = join(folder, EVALUATIONS_FILE);
  const recorded = await readSeries(path);
  const own = Object.entries(recorded).filter(([name]) => name.replace(/-\d+$/, '') === kind);
  const found = own.find(([, before]) => differences(before, settings).length === 0);
  if (found) return { name: found[0] };
  const name = await newName(folder, kind, Object.keys(recorded));
  await writeJsonAtomically(path, { ...recorded, [name]: settings });
  if (name === kind) return { name };
  const newest = own.at(-1)?.[1];
  const change = newest
    ? differences(newest, settings).join('; ')
    : 'how the earlier ones were made is not recorded';
  return { name, change };
}

async function readSeries(path: string): Promise<Record<string, EvaluationSettings>> {
  if (!(await isFile(path))) return {};
  const advice = 'not a record of evaluations; remove it, and scores begin a new series';
  return parseJsonOf(await readFile(path, 'utf8'), path, seriesSchema, advice, CheckpointError);
}

/** A name that neither the record nor the log has: scores of a run whose record is lost are not comparable either. */
async function newName(folder: string, kind: SeriesKind, recorded: readonly string[]): Promise<string> {
  const log = join(folder, METRICS_FILE);
  const logged = (await isFile(log)) ? readMetrics(log).flatMap((line) => Object.keys(line)) : [];
  const taken = new Set([...recorded, ...logged.map((key) => key.split('/')[0])]);
  for (let number = 1; ; number++) {
    const name = number === 1 ? kind : `${kind}-${number}`;
    if (!taken.has(name)) return name;
  }
}

function differences(before: EvaluationSettings, now: EvaluationSettings): string[] {
  return [...new Set([...Object.keys(before), ...Object.keys(now)])]
    .filter((key) => before[key] !== now[key])
    .map((key) => `${key} was ${shown(before[key])} and is now ${shown(now[key])}`);
}

function shown(value: string | number | undefined): string {
  return value === undefined ? 'not given' : printable(String(value));
}
