/** @file `acdit evaluate --report`: the metrics with images and charts of both sets, as one HTML file. */

import { dirname } from 'node:path';
import { at } from '../../at.ts';
import { makeFolders, writeTextAtomically } from '../../io/atomic-write.ts';
import { closingAfter } from '../../io/byte-source.ts';
import type { Device } from '../../runtime/device.ts';
import type { EvaluateOptions, Metrics } from '../evaluate.ts';
import type { EvaluationSet, PerSet } from '../evaluation-set.ts';
import { KID_SUBSET_SIZE, KID_SUBSETS } from '../kernel-distance.ts';
import { INCEPTION_SCORE_CHUNK } from '../logit-scores.ts';
import { type OpenSetOptions, openSet } from '../open-set.ts';
import { nearestDistances, projectToPlane, someRows } from '../overview.ts';
import type { Features } from '../products.ts';
import { bars, histogram, SERIES, type Series, scatter } from './charts.ts';
import { pictureGrid } from './images.ts';
import { type Score, type StatedProtocols, setFacts, shown, TITLES } from './metric-table.ts';
import { type ReportContent, type ReportFigure, type ReportMetric, reportPage } from './page.ts';

/** What there is to report. */
export interface Evaluation {
  readonly paths: PerSet<string>;
  readonly sets: PerSet<EvaluationSet>;
  readonly metrics: Metrics;
  readonly protocol: StatedProtocols | undefined;
  /** What the metrics were computed with. */
  readonly options: EvaluateOptions;
  readonly warnings: readonly string[];
}

interface Context {
  readonly device: Device;
  readonly signal: AbortSignal;
  readonly opening: OpenSetOptions;
}

/** Rows of each set that are drawn: more would hide each other. */
const MAX_POINTS = 1000;
/** Rows of each set between which neighbours are sought, for the drawing alone. */
const MAX_NEIGHBOURS = 5000;
/** More classes are reported in a sentence instead of a chart. */
const MAX_BARS = 40;

const NOTES: Readonly<Record<Score, string>> = {
  fid: "Fréchet distance of the two sets' Inception features, each taken for a Gaussian. 0 if means and covariances are equal; lower is better.",
  fvd: "Fréchet distance of the two sets' I3D features of clips, each set taken for a Gaussian. Lower is better.",
  frechetDistance:
    'Distance of the means and covariances of the two sets of features, each taken for a Gaussian. Lower is better; not to be compared with a FID.',
  sfid: 'The Fréchet distance of spatial features of the Inception network, which keep where things are. Lower is better.',
  inceptionScore:
    "How sure the network is of each sample's class, and how many classes there are; does not look at the reference. Higher is better.",
  labelAccuracy:
    'Share of the samples that a classifier takes for the class that they were made to show. Higher is better.',
  precision:
    'Share of the samples that lie among the reference: within the ball of a reference point that reaches to its 3rd neighbour. Higher is better.',
  recall: 'Share of the reference that lies among the samples, in the same way. Higher is better.',
  density:
    'How many balls of reference points, to their 5th neighbours, a sample is in, over 5; may exceed 1. Higher is better.',
  coverage:
    'Share of the reference points with a sample in their ball, to their 5th neighbour. Higher is better.',
  kid: 'Squared maximum mean discrepancy with the kernel (x.y / D + 1)^3, unbiased, so that it may be below 0. Lower is better.',
};

/** Write the report. @throws {AcditError} if it cannot be written */
export async function writeReport(path: string, evaluation: Evaluation, context: Context): Promise<void> {
  const { paths, sets, metrics, protocol, options, warnings } = evaluation;
  const sections = [
    { title: 'Pictures', figures: await pictures(paths, context) },
    { title: 'Features', figures: await featureCharts(sets, context) },
    { title: 'Classes', figures: classCharts(evaluation) },
  ];
  const page = reportPage({
    title: `${paths.samples} against ${paths.reference}`,
    metrics: metricRows(metrics),
    facts: [...setFacts(sets, protocol), ...settingFacts(metrics, options)],
    warnings,
    sections: sections.filter(({ figures }) => figures.length > 0),
    footer: 'Written by acdit evaluate.',
  } satisfies ReportContent);
  await makeFolders(dirname(path));
  await writeTextAtomically(path, page);
}

function metricRows(metrics: Metrics): ReportMetric[] {
  return (Object.keys(TITLES) as Score[]).flatMap((key) => {
    const value = metrics[key];
    return value === undefined ? [] : [{ title: TITLES[key], value: shown(value), note: NOTES[key] }];
  });
}

/** What the metrics that are there depend on. */
function settingFacts(metrics: Metrics, options: EvaluateOptions): [string, string][] {
  const {
    kidSubsets = KID_SUBSETS,
    kidSubsetSize = KID_SUBSET_SIZE,
    inceptionScoreChunk = INCEPTION_SCORE_CHUNK,
    seed = 0,
  } = options;
  const facts: [string, string][] = [];
  if (metrics.kid !== undefined) {
    const subsets = `mean of ${kidSubsets} random subsets of up to ${kidSubsetSize} samples of each set, seed ${seed}`;
    facts.push([TITLES.kid, kidSubsets === 0 ? 'of all samples at once' : subsets]);
  }
  if (metrics.inceptionScore !== undefined) {
    facts.push([
      TITLES.inceptionScore,
      `mean of chunks of ${inceptionScoreChunk} samples in the order of the file`,
    ]);
  }
  if (metrics.precision !== undefined) {
    const rounding = options.halfPrecision
      ? "with float16's rounding, as in the ADM evaluator"
      : 'in float64';
    facts.push(['precision and recall', `distances ${rounding}`]);
  }
  return facts;
}

/** Grids of the sets that hold images; features have none to show. */
async function pictures(paths: PerSet<string>, { opening, signal }: Context): Promise<ReportFigure[]> {
  const figures: ReportFigure[] = [];
  for (const series of SERIES) {
    signal.throwIfAborted();
    await closingAfter(await openSet(paths[series], opening), async (opened) => {
      if (opened.kind === 'images') figures.push(await pictureGrid(opened.images, series));
    });
  }
  return figures;
}

async function featureCharts(
  { reference, samples }: PerSet<EvaluationSet>,
  { device, signal }: Context,
): Promise<ReportFigure[]> {
  if (!reference.features || !samples.features) return [];
  const some = (most: number) =>
    [someRows(reference.features!, most), someRows(samples.features!, most)] as const;
  const [real, fake] = some(MAX_NEIGHBOURS);
  const [fewReal, fewFake] = some(MAX_POINTS);
  const counts = (a: Features, b: Features): string =>
    `${at(a.shape, 0)} of the reference and ${at(b.shape, 0)} samples`;
  const figures: ReportFigure[] = [];
  if (at(real.shape, 0) > 1) {
    const distances = await nearestDistances(device, real, fake, { signal });
    const medians = { reference: median(distances.reference), samples: median(distances.samples) };
    figures.push({
      content: histogram(
        {
          title: 'Distances to the nearest reference point',
          description:
            `Histogram of two sets. The median distance is ${shown(medians.samples)} for samples and ` +
            `${shown(medians.reference)} between reference points.`,
        },
        'distance in feature space',
        distances,
      ),
      caption:
        `How far it is from each sample to the nearest point of the reference (dashed), and from each of those to the ` +
        `nearest other one (solid), of ${counts(real, fake)}. Medians: ${shown(medians.samples)} and ` +
        `${shown(medians.reference)}. Samples far to the left of the reference may be copies; far to the right, unlike it.`,
    });
  }
  const projection = projectToPlane(fewReal, fewFake);
  const [first, second] = projection.shares.map((share) => `${(100 * share).toFixed(1)}% of the variance`);
  figures.push({
    content: scatter(
      {
        title: 'Both sets in the plane of their features',
        description: `Scatter plot of ${counts(fewReal, fewFake)} along their first two principal components.`,
      },
      [`first principal component, ${first}`, `second, ${second}`],
      projection,
    ),
    caption:
      `${counts(fewReal, fewFake)} in the plane in which both together vary most: dots are the ` +
      'reference, crosses are samples. Regions with dots alone are what the samples miss.',
  });
  return figures;
}

function classCharts({ sets, metrics }: Evaluation): ReportFigure[] {
  const figures: ReportFigure[] = [];
  const names = sets.samples.classNames ?? sets.reference.classNames;
  for (const series of SERIES) {
    const { labels } = sets[series];
    if (labels) figures.push(classCounts(labels, names, series));
  }
  const accuracies = Object.entries(metrics.labelAccuracyByClass ?? {});
  if (accuracies.length > 0 && accuracies.length <= MAX_BARS) {
    const percent = (share: number): string => `${(100 * share).toFixed(1)}%`;
    const worst = accuracies.reduce((lowest, row) => (row[1] < lowest[1] ? row : lowest));
    figures.push({
      content: bars(
        {
          title: 'Label accuracy by class',
          description: `Bars of ${accuracies.length} classes; the lowest is ${worst[0]} with ${percent(worst[1])}.`,
        },
        accuracies,
        percent,
      ),
      caption: 'Share of the samples of each class that the classifier takes for it.',
    });
  }
  return figures;
}

function classCounts(
  labels: ArrayLike<number>,
  names: readonly string[] | undefined,
  series: Series,
): ReportFigure {
  const counts = new Map<number, number>();
  for (const label of Array.from(labels)) counts.set(label, (counts.get(label) ?? 0) + 1);
  const rows = [...counts]
    .sort(([a], [b]) => a - b)
    .map(([label, count]) => [names?.[label] ?? `class ${label}`, count] as const);
  const numbers = rows.map(([, count]) => count);
  const [fewest, most] = [Math.min(...numbers), Math.max(...numbers)];
  const summary = `${rows.length} classes, with ${fewest} to ${most} each`;
  const text = { title: `Samples by class, ${series}`, description: `Bars: ${summary}.` };
  return {
    content: rows.length <= MAX_BARS ? bars(text, rows, String, series) : '',
    caption: `Labels of the ${series}: ${summary}.`,
  };
}

function median(values: Float64Array): number {
  return at(values.toSorted(), Math.floor(values.length / 2));
}
