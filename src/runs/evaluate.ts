/** @file Compares samples with a reference: what `acdit evaluate` does. */

import { resolve } from 'node:path';
import { ArgumentError } from '../errors.ts';
import { type EvaluateOptions, evaluate, type Metrics } from '../evaluation/evaluate.ts';
import type { EvaluationSet, PerSet } from '../evaluation/evaluation-set.ts';
import { type StatedProtocols, statedProtocols } from '../evaluation/report/metric-table.ts';
import { writeReport } from '../evaluation/report/report.ts';
import { requireFreeFiles } from './checks.ts';
import { openingOptions, prepareSets, type SetOptions } from './evaluation-sets.ts';
import { type ActiveContext, contextOf, type Progress, type Reporter, type RunContext } from './reporter.ts';

/** What to compare, and how. */
export interface EvaluateSamplesOptions extends RunContext, SetOptions {
  /** A folder of images or videos, an IDX file, or an .npz file of images, features or statistics. */
  readonly reference: string;
  /** The same, for the samples. */
  readonly samples: string;
  /** Settings of the metrics. */
  readonly metrics?: Omit<EvaluateOptions, 'signal' | 'onProgress' | 'onWarning'> | undefined;
  /** Files to keep the features of the sets in, for later runs. */
  readonly save?: Partial<PerSet<string | undefined>> | undefined;
  /** Replace files that exist (default: false). */
  readonly overwrite?: boolean | undefined;
}

/** Metrics, and everything that they are of. */
export interface EvaluateSamplesResult {
  readonly metrics: Metrics;
  readonly sets: PerSet<EvaluationSet>;
  /** How the samples of both sets were chosen and prepared, where the metrics depend on it. */
  readonly protocol: StatedProtocols | undefined;
  readonly warnings: readonly string[];
}

/**
 * Computes every metric that the two sets allow. It emits no events.
 * @throws {ArgumentError} if a file to write exists, or an option is not valid; {AcditError} if a set cannot be read, or the
 * two sets cannot be compared; the signal's reason once it is aborted.
 */
export async function evaluateSamples(options: EvaluateSamplesOptions): Promise<EvaluateSamplesResult> {
  const { device, metrics: settings = {}, save = {}, overwrite } = options;
  await requireOutputs([save.reference, save.samples], options, overwrite);
  const { context, warnings } = collectingWarnings(contextOf(options));
  const { report, signal } = context;
  const stages = stageProgress(report);
  try {
    const sets = await prepareSets(options, save, context);
    const { reference, samples } = sets;
    const metrics = await evaluate(device, reference, samples, {
      ...settings,
      signal,
      onProgress: stages.update,
      onWarning: report.warn,
    });
    const protocol = statedProtocols(reference, samples, settings.divideByN === true);
    return { metrics, sets, protocol, warnings };
  } finally {
    stages.finish();
  }
}

/**
 * Writes the result as one HTML file, with images and charts of both sets.
 * @throws {AcditError} if it cannot be written
 */
export async function writeEvaluationReport(
  path: string,
  result: EvaluateSamplesResult,
  options: EvaluateSamplesOptions,
): Promise<void> {
  const { device, metrics = {}, reference, samples } = options;
  const { signal } = contextOf(options);
  const opening = openingOptions(options, signal);
  const evaluation = { ...result, paths: { reference, samples }, options: metrics };
  await writeReport(path, evaluation, { device, signal, opening });
}

/**
 * Checks, before any work, that files can be written without loss.
 * @throws {ArgumentError} if a file exists and `overwrite` is not set, would be written twice, or over one of the sets.
 */
export async function requireOutputs(
  outputs: readonly (string | undefined)[],
  { reference, samples }: PerSet<string>,
  overwrite: boolean | undefined,
): Promise<void> {
  const taken = new Set([reference, samples].map((path) => resolve(path)));
  for (const path of outputs) {
    if (path === undefined) continue;
    if (taken.has(resolve(path)))
      throw new ArgumentError(`${path} is given twice; give each file a name of its own`);
    taken.add(resolve(path));
  }
  await requireFreeFiles(outputs, overwrite);
}

/** Returns a context that keeps its warnings too. */
function collectingWarnings(context: ActiveContext): { context: ActiveContext; warnings: readonly string[] } {
  const warnings: string[] = [];
  const warn = (message: string): void => {
    warnings.push(message);
    context.report.warn(message);
  };
  return { context: { ...context, report: { ...context.report, warn } }, warnings };
}

/** Reports the progress of each metric that takes time. */
function stageProgress(report: Reporter) {
  let current: { readonly label: string; readonly progress: Progress } | undefined;
  const finish = (): void => {
    current?.progress.finish();
    current = undefined;
  };
  return {
    update(label: string, done: number): void {
      if (current?.label !== label) {
        finish();
        current = { label, progress: report.progress({ total: 100, label, unit: 'part' }) };
      }
      current.progress.update(Math.floor(done * 100));
    },
    finish,
  };
}
