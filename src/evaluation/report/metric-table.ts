/** @file Metrics as a table on the terminal. */

import type { Metrics } from '../evaluate.ts';
import type { EvaluationSet, PerSet, Protocol } from '../evaluation-set.ts';

/** Metrics of one number each. */
export type Score = Exclude<keyof Metrics, 'labelAccuracyByClass'>;

/** What metrics are called. */
export const TITLES: Readonly<Record<Score, string>> = {
  fid: 'FID',
  fvd: 'FVD',
  frechetDistance: 'Fréchet distance',
  sfid: 'sFID',
  inceptionScore: 'Inception Score',
  labelAccuracy: 'label accuracy',
  precision: 'precision',
  recall: 'recall',
  density: 'density',
  coverage: 'coverage',
  kid: 'KID',
};

/** How the samples of both sets were chosen and prepared, where the metrics depend on it. */
export interface StatedProtocols extends Partial<PerSet<Protocol | undefined>> {
  readonly covarianceDivisor: 'N' | 'N - 1';
}

/** @returns undefined if neither set states anything. */
export function statedProtocols(
  { reference, samples }: PerSet<EvaluationSet>,
  divideByN: boolean,
): StatedProtocols | undefined {
  if (!reference.protocol && !samples.protocol) return undefined;
  return {
    covarianceDivisor: divideByN ? 'N' : 'N - 1',
    reference: reference.protocol,
    samples: samples.protocol,
  };
}

/** Metrics and what they are of, a line each. */
export function metricTable(
  metrics: Metrics,
  sets: PerSet<EvaluationSet>,
  protocol?: StatedProtocols,
): string {
  const rows = (Object.keys(TITLES) as Score[]).flatMap((key): [string, string][] => {
    const value = metrics[key];
    return value === undefined ? [] : [[TITLES[key], shown(value)]];
  });
  const byClass = Object.entries(metrics.labelAccuracyByClass ?? {});
  rows.push(...byClass.map(([name, share]): [string, string] => [`  of ${name}`, shown(share)]));
  rows.push(...setFacts(sets, protocol));
  const width = Math.max(...rows.map(([title]) => title.length)) + 2;
  return rows.map(([title, text]) => title.padEnd(width) + text).join('\n');
}

/** What the sets are, by names. */
export function setFacts(
  { reference, samples }: PerSet<EvaluationSet>,
  protocol?: StatedProtocols,
): [string, string][] {
  return [
    ['reference', described(reference)],
    ...protocolRows(protocol?.reference),
    ['samples', described(samples)],
    ...protocolRows(protocol?.samples),
    ...(protocol ? [['covariances', `divided by ${protocol.covarianceDivisor}`] as [string, string]] : []),
  ];
}

function protocolRows(protocol: Protocol | undefined): [string, string][] {
  if (!protocol) return [];
  const settings = Object.entries(protocol).map(([name, value]) => `${name} ${value}`);
  return [['  prepared as', settings.join(', ')]];
}

/** A metric with six digits. */
export function shown(value: number): string {
  return Math.abs(value) >= 0.001 || value === 0
    ? String(Number(value.toPrecision(6)))
    : value.toExponential(3);
}

function described({ name, network, features, gaussian }: EvaluationSet): string {
  const dims = features?.shape[1] ?? gaussian?.mean.length;
  const count = features ? `${features.shape[0]} samples` : 'stored statistics';
  const stored = features && gaussian ? ', statistics stored' : '';
  return `${name}: ${count} of ${dims} dimensions${stored}, network ${network ?? 'not stated'}`;
}
