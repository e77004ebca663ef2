/** @file The two sets of an evaluation, with the features of their samples. */

import { splitFolders } from '../data/class-level.ts';
import { describeIgnoredFiles, isFolder } from '../data/folder-files.ts';
import { CLIP_PROTOCOL, type ClipProtocol } from '../evaluation/clips.ts';
import {
  type EvaluationSet,
  type PerSet,
  requireSameNetwork,
  writeFeatures,
} from '../evaluation/evaluation-set.ts';
import { completeSet, provenance } from '../evaluation/extract.ts';
import type { FeatureNetwork } from '../evaluation/feature-network.ts';
import type { ImageFolderOptions } from '../evaluation/folder-source.ts';
import { type OpenedSet, type OpenSetOptions, openSet } from '../evaluation/open-set.ts';
import { printableList } from '../io/printable.ts';
import type { Device } from '../runtime/device.ts';
import { I3D, INCEPTION, type NetworkOptions, openFeatureNetwork } from './feature-network.ts';
import type { ActiveContext } from './reporter.ts';

/** How sets are opened and their features computed. */
export interface SetOptions extends NetworkOptions, ImageFolderOptions {
  /** Computes features and metrics; the caller disposes of it. */
  readonly device: Device;
  /** Which clips of videos to take (default: {@link CLIP_PROTOCOL}). */
  readonly clips?: ClipProtocol | undefined;
}

/** Files to keep the features of the sets in. */
type SavedFeatures = Partial<PerSet<string | undefined>>;

/**
 * Opens both sets, and computes the features of those that hold samples. A network is opened only if it is needed.
 * @throws {AcditError} if a set cannot be read, or the network cannot be opened.
 */
export async function prepareSets(
  options: SetOptions & PerSet<string>,
  save: SavedFeatures,
  context: ActiveContext,
): Promise<PerSet<EvaluationSet>> {
  const reference = await openReported(options.reference, options, context);
  try {
    const samples = await openReported(options.samples, options, context);
    try {
      const sets = await completeSets({ reference, samples }, save, options, context);
      for (const name of ['reference', 'samples'] as const) {
        const path = save[name];
        if (path !== undefined) await writeFeatures(path, sets[name]);
      }
      return sets;
    } finally {
      await closeSet(samples);
    }
  } finally {
    await closeSet(reference);
  }
}

/** Returns the options with which sets are opened. */
export function openingOptions(
  { network, i3d, clips = CLIP_PROTOCOL, maxPixels, size }: SetOptions,
  signal: AbortSignal,
): OpenSetOptions {
  const always = network === I3D || i3d !== undefined;
  return { videos: { protocol: clips, always, signal }, maxPixels, size };
}

/** Opens a set, and warns of files in its folder that are ignored and of splits that are read together. */
async function openReported(
  path: string,
  options: SetOptions,
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

async function closeSet(opened: OpenedSet): Promise<void> {
  if (opened.kind === 'images') await opened.images.close();
}

async function completeSets(
  { reference, samples }: PerSet<OpenedSet>,
  save: SavedFeatures,
  options: SetOptions,
  context: ActiveContext,
): Promise<PerSet<EvaluationSet>> {
  if (reference.kind === 'features' && samples.kind === 'features') {
    return { reference: reference.set, samples: samples.set };
  }
  const ofVideos = options.i3d !== undefined || [reference, samples].some(holdsClips);
  const { network: name = ofVideos ? I3D : INCEPTION, device, clips } = options;
  const network = await openFeatureNetwork(device, name, options, clips?.frames);
  try {
    // Refuse now rather than after hours of work.
    for (const [opened, other] of [
      [reference, samples],
      [samples, reference],
    ] as const) {
      if (opened.kind === 'features' && other.kind === 'images') {
        requireSameNetwork(opened.set, provenance(network, other.images.name));
      }
    }
    const onlyFeatures = save.reference === undefined;
    const sets = {
      reference: await completed(reference, network, 'reference', { device, onlyFeatures }, context),
      samples: await completed(samples, network, 'samples', { device, onlyFeatures: false }, context),
    };
    return {
      reference: assumed(sets.reference, network, context),
      samples: assumed(sets.samples, network, context),
    };
  } finally {
    await network.dispose();
  }
}

function holdsClips(opened: OpenedSet): boolean {
  return opened.kind === 'images' && opened.images.shape.length === 4;
}

async function completed(
  opened: OpenedSet,
  network: FeatureNetwork,
  label: string,
  { device, onlyFeatures }: { readonly device: Device; readonly onlyFeatures: boolean },
  { report, signal }: ActiveContext,
): Promise<EvaluationSet> {
  if (opened.kind === 'features') return opened.set;
  const total = opened.images.count;
  const progress = report.progress({ total, label, unit: network.takesClips ? 'clip' : 'image' });
  try {
    return await completeSet(device, network, opened, {
      signal,
      onlyFeatures,
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
