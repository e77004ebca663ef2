/** @file Compares samples with a reference: what `acdit evaluate` does. */

import { resolve } from 'node:path';
import { splitFolders } from '../data/class-level.ts';
import { describeIgnoredFiles, isFolder } from '../data/folder-files.ts';
import { onEach, onFirst } from '../distributed/agree.ts';
import type { Ranks } from '../distributed/communicator.ts';
import { ArgumentError } from '../errors.ts';
import { CLIP_PROTOCOL, type ClipProtocol } from '../evaluation/clips.ts';
import { type EvaluateOptions, evaluate, type Metrics } from '../evaluation/evaluate.ts';
import {
  type EvaluationSet,
  type PerSet,
  requireSameNetwork,
  writeFeatures,
} from '../evaluation/evaluation-set.ts';
import { completeSet, type ExtractOptions, provenance } from '../evaluation/extract.ts';
import type { FeatureNetwork } from '../evaluation/feature-network.ts';
import type { ImageFolderOptions } from '../evaluation/folder-source.ts';
import { type OpenedSet, type OpenSetOptions, openSet } from '../evaluation/open-set.ts';
import { type StatedProtocols, statedProtocols } from '../evaluation/report/metric-table.ts';
import { writeReport } from '../evaluation/report/report.ts';
import { closingAfter } from '../io/byte-source.ts';
import { printableList } from '../io/printable.ts';
import type { Device } from '../runtime/device.ts';
import { requireFreeFiles } from './checks.ts';
import { I3D, INCEPTION, type NetworkOptions, openFeatureNetwork } from './feature-network.ts';
import {
  type ActiveContext,
  contextOf,
  type Progress,
  type Reporter,
  type RunContext,
  silentReporter,
} from './reporter.ts';

/** What to compare, and how. */
export interface EvaluateSamplesOptions extends RunContext, NetworkOptions, ImageFolderOptions {
  /** A folder of images or videos, an IDX file, or an .npz file of images, features or statistics. */
  readonly reference: string;
  /** The same, for the samples. */
  readonly samples: string;
  /** Computes features and metrics; the caller disposes of it. */
  readonly device: Device;
  /** Settings of the metrics. */
  readonly metrics?: Omit<EvaluateOptions, 'signal' | 'onProgress' | 'onWarning'> | undefined;
  /** Which clips of videos to take (default: {@link CLIP_PROTOCOL}). */
  readonly clips?: ClipProtocol | undefined;
  /**
   * Files to keep the features of the sets in, for later runs, and the one that {@link writeEvaluationReport} will write:
   * they are checked before any work.
   */
  readonly save?:
    | (Partial<PerSet<string | undefined>> & { readonly report?: string | undefined })
    | undefined;
  /** Replace files that exist (default: false). */
  readonly overwrite?: boolean | undefined;
}

type PrepareOptions = EvaluateSamplesOptions & { readonly ranks?: Ranks };

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
  await requireOutputs(options);
  const { context, warnings } = collectingWarnings(contextOf(options));
  return compareSets(options, context, await prepareSets(options, context), warnings);
}

/**
 * Does the same as {@link evaluateSamples} on several ranks, which share the work of the features and then leave their
 * group; the first rank alone computes the metrics.
 * @param options are the same on all ranks.
 * @returns undefined on other ranks than the first
 * @throws like {@link evaluateSamples}, and {DeviceError} if the ranks have other samples or another network.
 */
export async function evaluateOnRanks(
  options: EvaluateSamplesOptions,
  ranks: Ranks,
): Promise<EvaluateSamplesResult | undefined> {
  const isFirst = ranks.communicator.rank === 0;
  await onFirst(ranks, () => requireOutputs(options));
  // What the others would report is the same.
  const report = isFirst ? options.report : silentReporter;
  const { context, warnings } = collectingWarnings(contextOf({ ...options, report }));
  const sets = await prepareSets({ ...options, ranks }, context);
  await ranks.communicator.close();
  if (!isFirst) return undefined;
  const signal = AbortSignal.any([context.signal, ranks.wish]);
  return compareSets(options, { ...context, signal }, sets, warnings);
}

async function compareSets(
  { device, metrics: settings = {} }: EvaluateSamplesOptions,
  { report, signal }: ActiveContext,
  sets: PerSet<EvaluationSet>,
  warnings: readonly string[],
): Promise<EvaluateSamplesResult> {
  const stages = stageProgress(report);
  try {
    const { reference, samples } = sets;
    const metrics = await evaluate(device, reference, samples, {
      ...settings,
      signal,
      onProgress: stages.update,
      onWarning: report.warn,
    });
    const protocol = statedProtocols(sets, settings.divideByN === true);
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
async function requireOutputs({
  reference,
  samples,
  save = {},
  overwrite,
}: EvaluateSamplesOptions): Promise<void> {
  const outputs = [save.reference, save.samples, save.report];
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

/**
 * Opens both sets, and computes the features of those that hold samples. A network is opened only if it is needed.
 * @throws {AcditError} if a set cannot be read, or the network cannot be opened.
 */
async function prepareSets(options: PrepareOptions, context: ActiveContext): Promise<PerSet<EvaluationSet>> {
  const { ranks } = options;
  const open = (path: string) => onEach(ranks, () => openReported(path, options, context));
  return closingAfter(await open(options.reference), async (reference) =>
    closingAfter(await open(options.samples), async (samples) => {
      const sets = await completeSets({ reference, samples }, options, context);
      await onFirst(ranks, () => saveFeatures(options, sets));
      return sets;
    }),
  );
}

async function saveFeatures({ save }: PrepareOptions, sets: PerSet<EvaluationSet>): Promise<void> {
  for (const name of ['reference', 'samples'] as const) {
    const path = save?.[name];
    if (path !== undefined) await writeFeatures(path, sets[name]);
  }
}

/** Returns the options with which sets are opened. */
function openingOptions(
  { network, i3d, clips = CLIP_PROTOCOL, maxPixels, size }: EvaluateSamplesOptions,
  signal: AbortSignal,
): OpenSetOptions {
  const always = network === I3D || i3d !== undefined;
  return { videos: { protocol: clips, always, signal }, maxPixels, size };
}

/** Opens a set, and warns of files in its folder that are ignored and of splits that are read together. */
async function openReported(
  path: string,
  options: EvaluateSamplesOptions,
  { report, signal }: ActiveContext,
): Promise<OpenedSet> {
  const opened = await openSet(path, openingOptions(options, signal));
  const splits = (await isFolder(path)) ? await splitFolders(path) : [];
  if (splits.length > 0) {
    report.warn(
      `${path}: contains the splits ${printableList(splits)}, which are all read; to compare only one, give its path`,
    );
  }
  if (opened.kind === 'images' && opened.images.ignoredFiles) {
    const unit = opened.images.shape.length === 4 ? 'videos' : 'images';
    report.warn(describeIgnoredFiles(path, unit, opened.images.ignoredFiles));
  }
  return opened;
}

async function completeSets(
  { reference, samples }: PerSet<OpenedSet>,
  options: PrepareOptions,
  context: ActiveContext,
): Promise<PerSet<EvaluationSet>> {
  if (reference.kind === 'features' && samples.kind === 'features') {
    return { reference: reference.set, samples: samples.set };
  }
  const ofVideos =
    options.i3d !== undefined ||
    [reference, samples].some((opened) => opened.kind === 'images' && opened.images.shape.length === 4);
  const { network: name = ofVideos ? I3D : INCEPTION, device, clips, ranks } = options;
  const open = () => openFeatureNetwork(device, name, options, clips?.frames);
  return closingAfter(await onEach(ranks, open), async (network) => {
    // Refuse now rather than after hours of work.
    for (const [opened, other] of [
      [reference, samples],
      [samples, reference],
    ] as const) {
      if (opened.kind === 'features' && other.kind === 'images') {
        requireSameNetwork(opened.set, provenance(network, other.images.name));
      }
    }
    const onlyFeatures = options.save?.reference === undefined;
    const sets = {
      reference: await completed(reference, network, 'reference', { device, onlyFeatures, ranks }, context),
      samples: await completed(samples, network, 'samples', { device, onlyFeatures: false, ranks }, context),
    };
    return {
      reference: assumed(sets.reference, network, context),
      samples: assumed(sets.samples, network, context),
    };
  });
}

async function completed(
  opened: OpenedSet,
  network: FeatureNetwork,
  label: string,
  { device, ...options }: Pick<ExtractOptions, 'onlyFeatures' | 'ranks'> & { readonly device: Device },
  { report, signal }: ActiveContext,
): Promise<EvaluationSet> {
  if (opened.kind === 'features') return opened.set;
  const total = opened.images.count;
  const progress = report.progress({ total, label, unit: network.takesClips ? 'clip' : 'image' });
  try {
    return await completeSet(device, network, opened, {
      ...options,
      signal,
      onProgress: (share) => progress.update(Math.round(share * total)),
    });
  } finally {
    progress.finish();
  }
}

/** Dimensions of Inception's pooled features, whose statistics are passed around without its name. */
const INCEPTION_DIMS = 2048;

/**
 * Statistics alone that do not say what they are of, as pytorch-fid and others store them, can only be those of the
 * network that the other set's features are computed with.
 */
function assumed(set: EvaluationSet, network: FeatureNetwork, { report }: ActiveContext): EvaluationSet {
  const { name, features, gaussian } = set;
  if (set.network !== undefined || features || gaussian?.mean.length !== INCEPTION_DIMS) return set;
  report.warn(
    `${name} does not say what its statistics are of; they are taken for those of '${network.name}'`,
  );
  return { ...set, network: network.name };
}
