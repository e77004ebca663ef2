/** @file Encodes a dataset of images or videos to the latents that models of latents are trained on. */

import { resolve, sep } from 'node:path';
import { openAutoencoder } from '../checkpoints/autoencoder.ts';
import { latentOrigin } from '../checkpoints/autoencoder-fingerprint.ts';
import type { ImageDataset, VideoDataset } from '../data/dataset.ts';
import { describeIgnoredFiles } from '../data/folder-files.ts';
import { type EncodeHooks, type EncodeOptions, encodeLatents } from '../data/latents/encode.ts';
import {
  earlierLatentsNote,
  finishedCounts,
  hasIndex,
  imageCount,
  type LatentsIndex,
  shardCount,
  shardNumber,
} from '../data/latents/index-file.ts';
import { frameBytes } from '../data/latents/shard.ts';
import { openImages, openVideos } from '../data/open.ts';
import { onEach } from '../distributed/agree.ts';
import { ArgumentError } from '../errors.ts';
import { invalidOption } from '../invalid-option.ts';
import { missingSpace } from '../io/file-source.ts';
import { formatBytes, formatDuration } from '../io/quantities.ts';
import { createAutoencoder } from '../models/autoencoder/autoencoder.ts';
import { type AutoencoderConfig, downsampling } from '../models/autoencoder/config.ts';
import type { Device } from '../runtime/device.ts';
import { autoencoderPath } from './model-path.ts';
import { type ActiveContext, contextOf, type Progress, type RunContext } from './reporter.ts';

/** What to encode, with what, and where the latents go. */
export interface EncodeDatasetOptions
  extends RunContext,
    Pick<EncodeOptions, 'exifOrientation' | 'flips' | 'dtype' | 'shardSize' | 'part' | 'ranks'> {
  /** One folder of images or videos per class, IDX files, or UCF-101 with its lists. */
  readonly data: string;
  /** Folder of the latents. A run that was interrupted is resumed. */
  readonly out: string;
  /** Autoencoder: a diffusers folder, or a name on the hub. */
  readonly vae: string;
  /** Computes the latents; the caller disposes of it. */
  readonly device: Device;
  /** Side of the square that each image or frame is cropped to, around its centre (default: 256). */
  readonly size?: number | undefined;
  /** Whether `data` is videos (default: false). */
  readonly video?: boolean | undefined;
  /** Pair of lists of UCF-101: 1, 2 or 3 (default: 1). */
  readonly fold?: number | undefined;
  /** Part of the dataset (default: train, also a folder without splits). */
  readonly split?: 'train' | 'test' | undefined;
  /** Max pixels of an image or a video frame. */
  readonly maxPixels?: number | undefined;
}

/** The latents that are finished. */
export interface EncodeDatasetResult {
  readonly folder: string;
  /** Images or videos that are encoded. */
  readonly samples: number;
  /** Corrupt ones that were skipped. */
  readonly skipped: number;
  readonly seconds: number;
}

/**
 * Encodes a dataset. It emits the events `start`, `shard` (each time a file is finished), and `done` or `interrupted`.
 * @throws {AcditError} if an option is not valid, the data cannot be read, or the latents in the folder were made with
 * other settings; the signal's reason once it is aborted: the same options resume the run.
 */
export async function encodeDataset(options: EncodeDatasetOptions): Promise<EncodeDatasetResult> {
  const { data, out, device } = options;
  requireApart(data, out);
  const context = contextOf(options);
  const { report, signal } = context;
  const stored = await onEach(options.ranks, async () =>
    openAutoencoder(await autoencoderPath(options.vae, context)),
  );
  const observer = observeEncoding(context, data, out);
  try {
    const made = await onEach(options.ranks, async () => ({
      source: await openSource(options, stored.config, report.warn),
      autoencoder: await latentOrigin(stored),
      encoder: await createAutoencoder({ ...stored, device, parts: ['encoder'], signal }),
    }));
    const { hooks } = observer;
    return observer.done(await encodeLatents({ ...options, ...made, folder: out, signal, hooks }));
  } catch (error) {
    observer.failed();
    throw error;
  } finally {
    await stored.close();
  }
}

/** Latents among the images would be taken for a class of them. */
function requireApart(data: string, out: string): void {
  if (!`${resolve(out)}${sep}`.startsWith(`${resolve(data)}${sep}`)) return;
  throw new ArgumentError(
    `${out} is inside ${data}; give a folder for the latents that is not among the images`,
  );
}

async function openSource(
  { data, size = 256, split = 'train', video, fold, exifOrientation, maxPixels }: EncodeDatasetOptions,
  config: AutoencoderConfig,
  warn: (message: string) => void,
): Promise<ImageDataset | VideoDataset> {
  const factor = downsampling(config);
  if (size % factor !== 0) throw invalidOption('size', `must be a multiple of ${factor}, got ${size}`);
  if (fold !== undefined && !video) throw invalidOption('fold', 'is for UCF-101, so it goes with --video');
  const { inChannels: channels } = config;
  if (channels !== 1 && channels !== 3) {
    throw invalidOption('vae', `takes images of ${channels} channels; only 1 and 3 are supported`);
  }
  if (await hasIndex(data))
    throw new ArgumentError(`${data}: holds latents already; give a folder of images or videos`);
  const common = {
    path: data,
    imageSize: size,
    channels,
    split,
    maxPixels,
    ...(exifOrientation && { exifOrientation }),
    warn,
  } as const;
  // Whole videos are encoded, so clips may be as short as possible.
  return video ? openVideos({ ...common, frames: 1, fold }) : openImages(common);
}

/** Reports what happens while a dataset is encoded. */
function observeEncoding({ report, signal }: ActiveContext, data: string, folder: string) {
  const { say, warn, emit } = report;
  const started = performance.now();
  let progress: Progress | undefined;
  let [finished, total, items] = [0, 0, 0];
  let unit: 'images' | 'videos' = 'images';
  const shard = (): string => `${finished}/${total}`;
  const hooks: EncodeHooks = {
    onWait: (owner) => say(`checking whether ${owner} still writes to ${folder}`),
    onCheck(number, index) {
      if (number === 0) say(`checking the ${index.shards.length} finished shards of ${folder}`);
    },
    async onStart({ index, done, ignoredFiles, damage }) {
      [total, items, finished] = [shardCount(index), done, index.shards.length - damage.length];
      say(describe(index, done));
      unit = unitOf(index);
      for (const note of earlierLatentsNote(folder, index)) warn(note);
      for (const problem of damage) warn(`${problem}; the shard is made again`);
      if (ignoredFiles) warn(describeIgnoredFiles(data, unit, ignoredFiles));
      const { latentShape, dtype, flips } = index;
      const images = imageCount(index);
      emit({ kind: 'start', images, done, shards: total, latentShape, dtype, flips, ignoredFiles });
      progress = report.progress({ total: images, start: done, label: 'encode', unit: unit.slice(0, -1) });
      if (index.clips) return; // the length of videos is known only when they are encoded
      const missing = await missingSpace(folder, (images - done) * frameBytes(index));
      if (missing !== undefined) warn(missing);
    },
    onImage(done) {
      items = done;
      progress?.update(done, { shard: shard() });
    },
    onFrame(frame) {
      if (unit === 'videos') progress?.update(items, { shard: shard(), frame: String(frame) });
    },
    onShard(number, index) {
      finished++;
      emit({ kind: 'shard', shard: shardNumber(index, number), ...index.shards[number] });
    },
  };
  return {
    hooks,
    done(index: LatentsIndex): EncodeDatasetResult {
      progress?.finish();
      const seconds = (performance.now() - started) / 1000;
      const { samples, skipped } = finishedCounts(index);
      if (skipped > 0) say(`${skipped} corrupt ${unit} were skipped`);
      say(`${samples} ${unit} are encoded, in ${formatDuration(seconds)}`);
      const result = { folder, samples, skipped, seconds };
      emit({ kind: 'done', ...result });
      return result;
    },
    failed(): void {
      progress?.finish();
      if (!signal.aborted || !progress) return;
      say(`stopped; ${finished} of ${total} shards are finished, and the same command resumes from there`);
      emit({ kind: 'interrupted', folder, shards: finished });
    },
  };
}

function describe(index: LatentsIndex, done: number): string {
  const { classNames, latentShape, clips, part } = index;
  const images = imageCount(index);
  const what =
    `${part ? `part ${part.number} of ${part.of}: ` : ''}${images} ${unitOf(index)} of ${classNames.length} classes to latents of ${latentShape.join(' x ')}: ` +
    `${shardCount(index)} shards, ${formatBytes(clips ? frameBytes(index) : images * frameBytes(index))}`;
  const all = clips ? `${what} per frame` : what;
  if (done === images) return `already encoded: ${all}`;
  return done === 0 ? `encoding ${all}` : `resuming after ${unitOf(index).slice(0, -1)} ${done}: ${all}`;
}

function unitOf({ clips }: LatentsIndex): 'images' | 'videos' {
  return clips ? 'videos' : 'images';
}
