/** @file The metrics of a study: which names there are. A misspelt one would be noticed after hours of training. */

import { ConfigError } from '../errors.ts';
import { TITLES } from '../evaluation/report/metric-table.ts';
import { printable, printableList } from '../io/printable.ts';
import { didYouMean } from '../nearest.ts';
import { GRADIENT_GROUPS } from '../training/gradient-norms.ts';
import { validationScores } from '../training/validation.ts';
import type { Study, StudyRun } from './study-file.ts';

/** Figures that are known before a run. */
const FIGURES = ['operations', 'parameters', 'steps', 'images'] as const;

/** Whether a metric is known before a run. */
export function isFigure(name: string): name is (typeof FIGURES)[number] {
  return FIGURES.some((figure) => figure === name);
}

/** Numbers that every log of a training has. */
const LOGGED = ['loss', 'gradientNorm', 'learningRate', 'samplesPerSecond', 'productShare'];
/** Costs that a study with a section `sampling` measures. */
const COSTS = ['operations', 'seconds', 'processorSeconds'].map((cost) => `sampling/${cost}`);

/** Sections of a recipe or a study without which there are no metrics of a kind. */
const METRIC_SECTIONS = ['evaluation', 'validation', 'sampling'] as const;

/** Metrics that a message lists. */
const SHOWN_METRICS = 12;

/**
 * Checks that runs of a study have each metric.
 * @param path the study's file, for messages
 * @throws {ConfigError} naming one that none has
 */
export function requireMetrics(study: Study, runs: readonly StudyRun[], path: string): void {
  const fail = (problem: string): never => {
    throw new ConfigError(`${path}: ${problem}`);
  };
  const names = study.metrics.map(({ name }) => name);
  const double = names.find((name, i) => names.indexOf(name) < i);
  if (double !== undefined) fail(`the metric ${printable(double)} is given twice; give it once`);
  const known = [...new Set([...FIGURES, ...runs.flatMap((run) => metricsOf(study, run))])];
  for (const name of names.filter((name) => !known.includes(name))) {
    const section = METRIC_SECTIONS.find((prefix) => name.startsWith(`${prefix}/`));
    const isMissing = section !== undefined && !known.some((other) => other.startsWith(`${section}/`));
    if (isMissing && (study.train || section === 'sampling')) {
      const owner = section === 'sampling' ? 'study' : 'base';
      fail(`the metric ${printable(name)} needs a section ${section} of the ${owner}`);
    }
    if (!study.train && section !== 'sampling') {
      fail(`the metric ${printable(name)} needs a training${didYouMean(name, known)}`);
    }
    const isSimilar = (other: string): boolean =>
      section === undefined ? !other.includes('/') : other.startsWith(`${section}/`);
    const advice =
      didYouMean(name, known) || `; there are ${printableList(known.filter(isSimilar), SHOWN_METRICS)}`;
    fail(`no run has the metric ${printable(name)}${advice}`);
  }
}

/** Returns the metrics of a run besides figures. */
function metricsOf({ train, sampling }: Study, { recipe, config }: StudyRun): string[] {
  const costs = sampling ? COSTS : [];
  if (!train) return costs;
  const { output, evaluation, validation } = recipe;
  const norms = output.gradientNorms ? GRADIENT_GROUPS.map((group) => `gradientNorm/${group}`) : [];
  const scores = evaluation ? Object.keys(TITLES).map((score) => `evaluation/${score}`) : [];
  const losses = validation ? validationScores(config, validation.timestepBins) : [];
  return [...costs, ...LOGGED, ...norms, ...scores, ...losses.map((score) => `validation/${score}`)];
}
