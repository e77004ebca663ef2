/** @file All metrics that two sets allow. */

import { at, take } from '../at.ts';
import { ArgumentError } from '../errors.ts';
import { distinctNames } from '../models/acdit/class-names.ts';
import type { Device } from '../runtime/device.ts';
import { type EvaluationSet, FID_NETWORKS, FVD_NETWORK, requireSameNetwork } from './evaluation-set.ts';
import { frechetDistance } from './frechet.ts';
import { type Gaussian, gaussianOf } from './gaussian.ts';
import { KID_SUBSET_SIZE, KID_SUBSETS, kernelDistance } from './kernel-distance.ts';
import { INCEPTION_SCORE_CHUNK, inceptionScore, labelAccuracy } from './logit-scores.ts';
import { compareManifolds, DENSITY_NEIGHBOUR, type Manifolds } from './manifolds.ts';
import type { Features } from './products.ts';

/** Only what could be computed. */
export interface Metrics extends Partial<Manifolds> {
  /** The Fréchet distance, if both sets are known to be features of the FID network. */
  readonly fid?: number;
  /** The Fréchet distance, if both sets are known to be features of the FVD network. */
  readonly fvd?: number;
  /** The Fréchet distance on other features. */
  readonly frechetDistance?: number;
  /** The Fréchet distance of the FID network's spatial features. */
  readonly sfid?: number;
  readonly inceptionScore?: number;
  /** Share of the samples that show what they were made to show, in the judgement of a classifier. */
  readonly labelAccuracy?: number;
  /** The same by class. */
  readonly labelAccuracyByClass?: Readonly<Record<string, number>>;
  readonly kid?: number;
}

/** How metrics are computed. */
export interface EvaluateOptions {
  /** See {@link kernelDistance}. */
  readonly kidSubsets?: number | undefined;
  readonly kidSubsetSize?: number | undefined;
  readonly seed?: number | undefined;
  /** Samples a chunk of the Inception Score; default 5000. */
  readonly inceptionScoreChunk?: number | undefined;
  /** Covariances divided by N, as in some programs for the FVD, rather than N - 1; stored ones stay as they are. */
  readonly divideByN?: boolean | undefined;
  /** Precision and recall with float16's rounding, as the ADM evaluator has them; without density and coverage. */
  readonly halfPrecision?: boolean | undefined;
  readonly signal?: AbortSignal | undefined;
  /** Gets the metric under way, and the share of it that is done. */
  readonly onProgress?: ((metric: string, done: number) => void) | undefined;
  /** Gets what to know of the numbers, such as that there are few samples. */
  readonly onWarning?: ((message: string) => void) | undefined;
}

/** Two sets, and how they are compared. */
interface Comparison {
  readonly device: Device;
  readonly reference: EvaluationSet;
  readonly samples: EvaluationSet;
  readonly options: EvaluateOptions;
  warn(message: string): void;
}

/**
 * Every metric that the two sets have what it takes for.
 * @throws {ArgumentError} if the sets do not go together, or nothing can be computed.
 */
export async function evaluate(
  device: Device,
  reference: EvaluationSet,
  samples: EvaluationSet,
  options: EvaluateOptions = {},
): Promise<Metrics> {
  const warn = options.onWarning ?? (() => {});
  const comparison = { device, reference, samples, options, warn };
  checkPair(reference, samples);
  warnOfProtocols(comparison);
  const metrics: Metrics = {
    ...(await distances(comparison)),
    ...scores(comparison),
    ...(await featureMetrics(comparison)),
  };
  if (Object.keys(metrics).length === 0) {
    throw new ArgumentError(`${samples.name}: there are too few samples for any metric`);
  }
  return metrics;
}

function checkPair(reference: EvaluationSet, samples: EvaluationSet): void {
  const dims = (set: EvaluationSet): number | undefined =>
    set.features?.shape[1] ?? set.gaussian?.mean.length;
  if (dims(reference) !== dims(samples)) {
    throw new ArgumentError(
      `${samples.name}: its features have ${dims(samples)} dimensions, those of ${reference.name} ${dims(reference)}; ` +
        'both must be of the same network',
    );
  }
  requireSameNetwork(reference, samples);
}

async function distances(comparison: Comparison): Promise<Metrics> {
  const { device, reference, samples, options } = comparison;
  const a = await statistics(reference, comparison);
  const b = await statistics(samples, comparison);
  const { network } = reference;
  const name = (network === samples.network && distanceNames.get(network ?? '')) || 'frechetDistance';
  warnOfUnnamed(comparison);
  const metrics: { -readonly [Name in keyof Metrics]: Metrics[Name] } = {};
  if (a && b) metrics[name] = await frechetDistance(device, a, b, work('Fréchet distance', options));
  if (name === 'fid' && reference.spatial && samples.spatial) {
    metrics.sfid = await frechetDistance(device, reference.spatial, samples.spatial, work('sFID', options));
  }
  return metrics;
}

/** What a Fréchet distance on a network's features is called. */
const distanceNames: ReadonlyMap<string, 'fid' | 'fvd'> = new Map([
  ...Object.values(FID_NETWORKS).map((network) => [network, 'fid'] as const),
  [FVD_NETWORK, 'fvd'],
]);

function warnOfUnnamed({ reference, samples, warn }: Comparison): void {
  const unnamed = [reference, samples].find(({ network }) => network === undefined);
  const network = reference.network ?? samples.network ?? '';
  const name = distanceNames.get(network)?.toUpperCase();
  if (!unnamed || !name) return;
  warn(
    `${unnamed.name} does not say that its features are of the ${name} network (text 'network', '${network}'), so the ` +
      `Fréchet distance is not called ${name}`,
  );
}

/** Numbers of clips of another kind are not like for like. */
function warnOfProtocols({ reference, samples, warn }: Comparison): void {
  const [a, b] = [reference.protocol, samples.protocol];
  if (!a || !b) return;
  const other = Object.keys(a).filter((key) => key in b && a[key] !== b[key]);
  if (other.length === 0) return;
  const differences = other.map((key) => `${key} ${a[key]} and ${b[key]}`).join(', ');
  warn(`${reference.name} and ${samples.name} were prepared in different ways: ${differences}`);
}

/** Stored statistics, or those of the features. */
async function statistics(
  { name, network, gaussian, features }: EvaluationSet,
  { device, options, warn }: Comparison,
): Promise<Gaussian | undefined> {
  if (gaussian || !features) return gaussian;
  const [n, dims] = take(features.shape, 2);
  if (n < 2) {
    warn(`${name}: a Fréchet distance needs at least 2 samples, got ${n}; it is left out`);
    return undefined;
  }
  if (n <= dims) {
    warn(
      `${name}: ${n} samples are few for a Fréchet distance in ${dims} dimensions, which is then too large; ` +
        `papers take ${network === FVD_NETWORK ? '2048 or 10000' : '50000'}`,
    );
  }
  const result = await gaussianOf(device, features, work('statistics', options));
  if (!options.divideByN) return result;
  return { ...result, covariance: result.covariance.map((value) => (value * (n - 1)) / n) };
}

function scores(comparison: Comparison): Metrics {
  const { samples, options, warn } = comparison;
  const { name, logits, classNames } = samples;
  if (!logits) return {};
  // An Inception Score is one of Inception's classes.
  if (classNames) return labelScores(comparison, logits, classNames);
  const { inceptionScoreChunk: chunk = INCEPTION_SCORE_CHUNK } = options;
  const rows = at(logits.shape, 0);
  if (rows < chunk) {
    warn(
      `${name}: ${rows} samples are few for an Inception Score, which is then too small; papers take ` +
        `10 chunks of ${INCEPTION_SCORE_CHUNK}`,
    );
  }
  return { inceptionScore: inceptionScore(logits, chunk) };
}

function labelScores(
  { samples: { name, labels, labelProblem }, warn }: Comparison,
  logits: Features,
  classNames: readonly string[],
): Metrics {
  const wrong = labels && Array.from(labels).find((label) => !(label < classNames.length));
  const problem =
    wrong === undefined ? labelProblem : `${name}: label ${wrong} is not one of ${classNames.length} classes`;
  if (problem !== undefined) warn(`${problem}; the label accuracy is left out`);
  if (!labels || problem !== undefined) return {};
  const { accuracy, byLabel } = labelAccuracy(logits, labels);
  const names = distinctNames(classNames);
  const named = byLabel.flatMap((share, label) =>
    share === undefined ? [] : [[names[label], share] as const],
  );
  return { labelAccuracy: accuracy, labelAccuracyByClass: Object.fromEntries(named) };
}

/** Metrics of neighbours and of all pairs, for which both sets need features. */
async function featureMetrics(comparison: Comparison): Promise<Metrics> {
  const { device, options, warn } = comparison;
  const [real, fake] = [comparison.reference.features, comparison.samples.features];
  if (!real || !fake) return {};
  const fewest = Math.min(at(real.shape, 0), at(fake.shape, 0));
  const { kidSubsets: subsets = KID_SUBSETS, kidSubsetSize: subsetSize = KID_SUBSET_SIZE, seed } = options;
  let metrics: Metrics = {};
  if (fewest > DENSITY_NEIGHBOUR) {
    const neighbours = { half: options.halfPrecision, ...work('neighbours', options) };
    const manifolds = await compareManifolds(device, real, fake, neighbours);
    const { precision, recall } = manifolds;
    metrics = options.halfPrecision ? { precision, recall } : manifolds;
  } else {
    warn(
      `precision, recall, density and coverage need more than ${DENSITY_NEIGHBOUR} samples of each set, got ${fewest}; ` +
        'they are left out',
    );
  }
  if (fewest < 2) {
    warn(`the kernel distance needs at least 2 samples of each set, got ${fewest}; it is left out`);
    return metrics;
  }
  if (subsets > 0 && fewest < subsetSize) {
    warn(`kernel distance: subsets have all ${fewest} samples of the smaller set, not ${subsetSize}`);
  }
  const kernel = { subsets, subsetSize, seed, ...work('kernel distance', options) };
  const { mean } = await kernelDistance(device, real, fake, kernel);
  return { ...metrics, kid: mean };
}

function work(metric: string, { signal, onProgress }: EvaluateOptions) {
  return { signal, onProgress: (done: number) => onProgress?.(metric, done) };
}
