/** @file Runs a study: what `acdit study` does. Its runs are ordinary trainings, each in a folder of its own. */

import { existsSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { isDeepStrictEqual } from 'node:util';
import { z } from 'zod';
import { attempt } from '../attempt.ts';
import { loadModel } from '../checkpoints/load.ts';
import { CONFIG_FILE } from '../checkpoints/stored-model.ts';
import { openDataset } from '../data/open.ts';
import { ArgumentError, CheckpointError, TrainingError } from '../errors.ts';
import { makeFolders, writeJsonAtomically, writeTextAtomically } from '../io/atomic-write.ts';
import { closingAfter } from '../io/byte-source.ts';
import { parseJsonOf } from '../io/json.ts';
import { lockFolder } from '../io/lock.ts';
import { printable } from '../io/printable.ts';
import { counted } from '../io/quantities.ts';
import { sampleCost } from '../models/acdit/cost.ts';
import { parameterCount } from '../models/acdit/weights.ts';
import type { Device } from '../runtime/device.ts';
import { createSampler, finalLatents } from '../sampling/sampler.ts';
import { METRICS_FILE } from '../training/logging/open.ts';
import { type DatasetTraits, parseRecipe, type Recipe } from '../training/recipe.ts';
import { freshWeights } from '../training/training-loop.ts';
import { requireSamplingMemory } from './checks.ts';
import { productSpeeds } from './product-speed.ts';
import { type ActiveContext, contextOf, type RunContext } from './reporter.ts';
import { readStudy, type Study, type StudyRun, studyRuns } from './study-file.ts';
import { requireMetrics } from './study-metrics.ts';
import { studyPlot } from './study-plot.ts';
import {
  csvTable,
  jsonResults,
  markdownTable,
  type StudyOutcome,
  type StudyRow,
  shown,
  studyGroups,
  studyRow,
} from './study-results.ts';
import { trainModel } from './train.ts';

/** A study, and what it runs on. */
export interface StudyOptions extends RunContext {
  /** The study's file. */
  readonly path: string;
  /** Computes; the caller disposes of it. */
  readonly device: Device;
  /** Steps the weights (default: `device`). */
  readonly optimizerDevice?: Device | undefined;
  /** The command line that the records of runs keep. */
  readonly command?: readonly string[] | undefined;
}

/** A study that has ended, or was stopped. */
export interface StudyResult {
  readonly folder: string;
  /** The table of results, as Markdown. */
  readonly table: string;
  readonly runs: number;
  /** Runs that have ended, those before included. */
  readonly done: number;
  /** Whether the signal stopped it; the same options resume it. */
  readonly interrupted: boolean;
}

const OUTCOMES_FILE = 'outcomes.json';

const outcomesSchema = z.object({
  format: z.literal('acdit-study'),
  version: z.literal(1),
  runs: z.record(
    z.string(),
    z.object({
      recipe: z.record(z.string(), z.unknown()),
      /** What was measured, and how. */
      measured: z.unknown().optional(),
      failed: z.string().optional(),
      sampling: z.record(z.string(), z.number()).optional(),
    }),
  ),
});

type Outcomes = z.infer<typeof outcomesSchema>;

/**
 * Runs what a study has not run yet, one run after the other, and writes its results after each: `results.md`, `.csv` and
 * `.json`, and a plot per metric. It emits the events of {@link trainModel}, with `run` and `result` around them, and at the
 * end `study`. Once the signal is aborted, the current run saves its state, and this returns.
 * @throws {ArgumentError} if another process runs the study, or a run that has ended had other settings; what
 * `readStudy` and {@link trainModel} throw. If a loss is no longer a number, only that run ends.
 */
export async function runStudy(options: StudyOptions): Promise<StudyResult> {
  const context = contextOf(options);
  const { report, signal } = context;
  const { study, runs } = await openStudy(options.path, context);
  await makeFolders(study.folder);
  const onWait = (owner: string): void => report.say(`checking whether ${owner} still runs ${study.folder}`);
  const lock = await lockFolder(study.folder, { signal, onWait });
  return closingAfter(lock, async () => {
    const outcomes = await readOutcomes(study.folder);
    for (const run of runs) requireSameSettings(study, run, outcomes);
    for (const row of endedRows(study, runs, outcomes)) warnOfMissing(study, row, context);
    for (const [i, run] of runs.entries()) {
      if (hasEnded(study, run, outcomes) || signal.aborted) continue;
      report.say(`run ${i + 1} of ${runs.length}: ${run.name}`);
      report.emit({ kind: 'run', name: run.name, number: i + 1, runs: runs.length });
      const outcome = await outcomeOf(study, run, options, context);
      if (!outcome) break;
      await lock.requireHeld();
      outcomes.runs[run.name] = { ...outcome, recipe: { ...run.recipe }, measured: study.sampling };
      await writeJsonAtomically(join(study.folder, OUTCOMES_FILE), outcomes);
      const row = studyRow(study, run, outcome);
      report.emit({ kind: 'result', name: run.name, ...row.values, failed: outcome.failed });
      warnOfMissing(study, row, context);
      await writeResults(study, runs, outcomes);
    }
    const done = endedRows(study, runs, outcomes).length;
    const table = await writeResults(study, runs, outcomes);
    const result = {
      folder: study.folder,
      table,
      runs: runs.length,
      done,
      interrupted: signal.aborted,
    };
    report.say(
      done === runs.length
        ? `the study has ended (${counted(done, 'run')}); results: ${table}`
        : `${done} of ${counted(runs.length, 'run')} ended so far; the same command resumes the study`,
    );
    report.emit({ kind: 'study', ...result });
    return result;
  });
}

/** Reads a study and determines its runs. */
async function openStudy(
  path: string,
  { report }: ActiveContext,
): Promise<{ study: Study; runs: StudyRun[] }> {
  const study = await readStudy(path);
  const known = new Map<string, DatasetTraits>();
  const traitsOf = async (data: Recipe['data']): Promise<DatasetTraits> => {
    const key = JSON.stringify(data);
    const found = known.get(key);
    if (found) return found;
    const dataset = await openDataset({ ...data, warn: report.warn });
    const { classNames, sampleShape, autoencoder } = dataset;
    await dataset.close?.();
    const traits = { classNames, sampleShape, ...(autoencoder && { autoencoder }) };
    known.set(key, traits);
    return traits;
  };
  const runs = await studyRuns(study, traitsOf);
  requireMetrics(study, runs, path);
  requireOwnFolder(study, path);
  return { study, runs };
}

/** @throws {ArgumentError} if the folder of the results holds a model or a training */
function requireOwnFolder({ folder }: Study, path: string): void {
  const found = [CONFIG_FILE, METRICS_FILE].find((name) => existsSync(join(folder, name)));
  if (found === undefined) return;
  throw new ArgumentError(
    `${path}: folder ${printable(folder)} holds a model or a training (${found}); give the study a folder of its own`,
  );
}

/** A run as {@link planStudy} describes it. */
export interface PlannedRun {
  readonly name: string;
  readonly parameters: number;
  readonly steps: number;
  /** Operations of its training and, if it is measured, of its samples. */
  readonly operations: number;
  /** Seconds that these would take at the speed of the device's products: the least it can take. */
  readonly seconds: number;
}

/** Describes the runs of a study, without running any. */
export async function planStudy(options: StudyOptions): Promise<PlannedRun[]> {
  const { study, runs } = await openStudy(options.path, contextOf(options));
  const speeds = new Map<string, number>();
  const planned: PlannedRun[] = [];
  for (const { name, recipe, config, operations: trained } of runs) {
    const { blockSize, hidden, mlpRatio } = config;
    const key = [blockSize, hidden, mlpRatio].join();
    const measure = async () => 2 * (await productSpeeds(options.device, ['fp32'], config))[0];
    const speed = speeds.get(key) ?? (await measure());
    speeds.set(key, speed);
    const operations = trained + measuredOperations(study, config);
    planned.push({
      name,
      parameters: parameterCount(config),
      steps: study.train ? recipe.training.steps : 0,
      operations,
      seconds: operations / speed,
    });
  }
  return planned;
}

type Sampling = NonNullable<Study['sampling']>;

/** Operations of one sample. */
function sampleOperations(config: StudyRun['config'], { steps, cfg }: Sampling): number {
  const branches = cfg === 1 || cfg === 0 ? 1 : 2;
  return 2 * sampleCost(config, branches * steps, branches);
}

function measuredOperations({ sampling }: Study, config: StudyRun['config']): number {
  return sampling ? sampling.samples * sampling.repeats * sampleOperations(config, sampling) : 0;
}

async function readOutcomes(folder: string): Promise<Outcomes> {
  const path = join(folder, OUTCOMES_FILE);
  if (!existsSync(path)) return { format: 'acdit-study', version: 1, runs: {} };
  const advice =
    'not the outcomes of a study; restore a copy, or remove it, and runs that have ended are measured again';
  return parseJsonOf(await readFile(path, 'utf8'), path, outcomesSchema, advice, CheckpointError);
}

/** Whether a run has ended, and its folder, if it was trained, still has its log: without it, the run is made again. */
function hasEnded({ train }: Study, { name, recipe }: StudyRun, { runs }: Outcomes): boolean {
  return runs[name] !== undefined && (!train || existsSync(join(recipe.output.folder, METRICS_FILE)));
}

function endedRows(study: Study, runs: readonly StudyRun[], outcomes: Outcomes): StudyRow[] {
  return runs.flatMap((run) => {
    const outcome = outcomes.runs[run.name];
    return outcome && hasEnded(study, run, outcomes) ? [studyRow(study, run, outcome)] : [];
  });
}

/** Returns what a run's results depend on: of the output, only how samples are made, if they are scored. */
function resultSettings({ output, ...recipe }: Recipe): Record<string, unknown> {
  const { sampleSteps, guidance, vae } = output;
  return { ...recipe, ...(recipe.evaluation && { output: { sampleSteps, guidance, vae } }) };
}

/** @throws {ArgumentError} if a run that has ended had other settings than it has in the study now. */
function requireSameSettings(study: Study, run: StudyRun, outcomes: Outcomes): void {
  const known = outcomes.runs[run.name];
  if (!known || !hasEnded(study, run, outcomes)) return;
  const before = attempt(() => resultSettings(parseRecipe(known.recipe)), undefined);
  if (!before) {
    throw new CheckpointError(
      `${join(study.folder, OUTCOMES_FILE)}: the recipe of the run ${run.name} is damaged; to repeat the run, remove its ` +
        `folder ${run.recipe.output.folder}`,
    );
  }
  const now = resultSettings(parseRecipe(JSON.parse(JSON.stringify(run.recipe))));
  const sections = [...new Set([...Object.keys(before), ...Object.keys(now)])];
  const differing = sections.filter((section) => !isDeepStrictEqual(before[section], now[section]));
  if (!isDeepStrictEqual(known.measured, study.sampling)) differing.push('sampling');
  if (differing.length === 0) return;
  throw new ArgumentError(
    `${study.folder}: the run ${run.name} has ended with different settings of ${differing.join(', ')}; restore them, or ` +
      `give the study another folder${study.train ? `; removing ${run.recipe.output.folder} repeats the run` : ''}`,
  );
}

/** Runs one run to its end; undefined if it was stopped. */
async function outcomeOf(
  study: Study,
  run: StudyRun,
  { device, optimizerDevice, command }: StudyOptions,
  context: ActiveContext,
): Promise<StudyOutcome | undefined> {
  const { report, signal } = context;
  if (study.train) {
    try {
      const { recipe } = run;
      const { interrupted } = await trainModel({ recipe, device, optimizerDevice, command, ...context });
      if (interrupted) return undefined;
    } catch (error) {
      if (!(error instanceof TrainingError)) throw error;
      report.warn(`${run.name} failed: ${error.message}`);
      return { failed: error.message };
    }
  }
  if (!study.sampling) return {};
  try {
    return { sampling: await measureSampling(study.sampling, run, study.train, device, signal) };
  } catch (error) {
    if (signal.aborted) return undefined;
    throw error;
  }
}

/** Measures the cost of a sample: of the best repetition, which other work has slowed the least. */
async function measureSampling(
  settings: Sampling,
  { config, recipe, seed }: StudyRun,
  isTrained: boolean,
  device: Device,
  signal: AbortSignal,
): Promise<Record<string, number>> {
  const { samples, steps, cfg, repeats } = settings;
  requireSamplingMemory(config, { batch: samples, guided: cfg !== 1 && cfg !== 0, steps });
  const weights = isTrained
    ? (await loadModel(recipe.output.folder, { signal })).weights
    : freshWeights(config, recipe.training.seed);
  const labels = Array.from({ length: samples }, (_, i) => i % config.classes);
  const sampler = await createSampler({ config, weights, device, signal });
  const times: { readonly seconds: number; readonly processor: number }[] = [];
  try {
    await finalLatents(sampler.sample({ labels, steps: 1, cfg, seed, signal })); // the first time takes longer
    for (let i = 0; i < repeats; i++) {
      const [started, before] = [performance.now(), process.cpuUsage()];
      await finalLatents(sampler.sample({ labels, steps, cfg, seed, signal }));
      const { user, system } = process.cpuUsage(before);
      const seconds = (performance.now() - started) / 1000;
      times.push({ seconds: seconds / samples, processor: (user + system) / 1e6 / samples });
    }
  } finally {
    await sampler.dispose();
  }
  return {
    'sampling/seconds': Math.min(...times.map(({ seconds }) => seconds)),
    'sampling/processorSeconds': Math.min(...times.map(({ processor }) => processor)),
    'sampling/operations': sampleOperations(config, settings),
  };
}

/** Warns of metrics that a run that has ended does not have, though it did not fail. */
function warnOfMissing(
  { metrics }: Study,
  { run, failed, values }: StudyRow,
  { report }: ActiveContext,
): void {
  const missing = metrics.filter(({ name }) => values[name] === undefined).map(({ name }) => name);
  if (failed !== undefined || missing.length === 0) return;
  report.warn(
    `${run.name} has no ${missing.join(', ')}: its recipe does not log it, or its log lost lines; to repeat the run, remove ` +
      `its folder ${run.recipe.output.folder}`,
  );
}

/** Writes the tables and plots of the runs that have ended. @returns the path of the table as Markdown */
async function writeResults(study: Study, runs: readonly StudyRun[], outcomes: Outcomes): Promise<string> {
  const rows = endedRows(study, runs, outcomes);
  const groups = studyGroups(study, rows);
  const inFolder = (name: string): string => join(study.folder, name);
  await writeTextAtomically(inFolder('results.md'), markdownTable(study, groups));
  await writeTextAtomically(inFolder('results.csv'), csvTable(study, rows));
  await writeJsonAtomically(inFolder('results.json'), jsonResults(study, groups));
  for (const metric of study.metrics) {
    const plot = studyPlot(study, metric, groups);
    if (plot !== undefined)
      await writeTextAtomically(inFolder(`${metric.name.replace(/[^\w.-]+/g, '-')}.svg`), plot);
  }
  return inFolder('results.md');
}

/** Lines that describe planned runs. */
export function describePlan(runs: readonly PlannedRun[]): string[] {
  const total = (key: 'operations' | 'seconds'): number => runs.reduce((sum, run) => sum + run[key], 0);
  const lines = runs.map(
    ({ name, parameters, steps, operations }) =>
      `${name}: ${shown(parameters / 1e6, 3)}M parameters, ${counted(steps, 'step')}, ${shown(operations, 3)} operations`,
  );
  const hours = shown(total('seconds') / 3600, 2);
  return [
    ...lines,
    `${counted(runs.length, 'run')}, ${shown(total('operations'), 3)} operations: at least ${hours} hours at the speed of this machine's products`,
  ];
}
