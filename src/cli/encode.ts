/** @file `acdit encode`: a dataset of pictures to the latents that models of latents are trained on. */

import { statfs } from 'node:fs/promises';
import { resolve, sep } from 'node:path';
import { openAutoencoder } from '../checkpoints/autoencoder.ts';
import { autoencoderFingerprint } from '../checkpoints/autoencoder-fingerprint.ts';
import type { ImageDataset, VideoDataset } from '../data/dataset.ts';
import { describePassedOver } from '../data/folder-files.ts';
import { type EncodeHooks, encodeLatents } from '../data/latents/encode.ts';
import {
  earlierLatentsNote,
  finishedCounts,
  hasIndex,
  type LatentsIndex,
  shardCount,
} from '../data/latents/index-file.ts';
import { frameBytes } from '../data/latents/shard.ts';
import { openImages, openVideos } from '../data/open.ts';
import { ArgumentError } from '../errors.ts';
import { createAutoencoder } from '../models/autoencoder/autoencoder.ts';
import { type AutoencoderConfig, downsampling } from '../models/autoencoder/config.ts';
import type { Progress, Reporter } from '../runs/reporter.ts';
import { type CommandContext, defineCommand } from './command.ts';
import { deviceFlags, openDevice } from './device.ts';
import type { Flags, FlagValues } from './flags.ts';
import { autoencoderPath } from './model-path.ts';
import { pixelFlags } from './pixel-flags.ts';
import { formatDuration } from './progress.ts';
import { choice, wholeNumber } from './values.ts';

const DTYPES = { fp16: 'float16', fp32: 'float32' } as const;

const encodeFlags = {
  vae: {
    value: 'DIR',
    help: 'autoencoder: a diffusers folder, or owner/repo/folder of the Hugging Face Hub',
    aliases: ['vae_path'],
  },
  size: {
    value: 'N',
    parse: wholeNumber(),
    default: '256',
    help: 'side of the square that each image or frame is cropped to, around its centre',
  },
  video: { help: 'DATA is videos: one folder per class, or UCF-101 with its lists' },
  fold: {
    value: 'N',
    parse: choice(['1', '2', '3']),
    help: 'pair of lists of UCF-101: 1, 2 or 3 (default: 1)',
  },
  split: {
    value: 'NAME',
    parse: choice(['train', 'test']),
    default: 'train',
    help: 'train (also a folder without splits) or test',
  },
  'exif-orientation': {
    help: 'turn images upright by their EXIF orientation (default: pixels as stored)',
  },
  ...pixelFlags,
  'no-flip': { help: 'leave out the mirrored images: half the time and half the disk' },
  dtype: { value: 'NAME', parse: choice(['fp16', 'fp32']), default: 'fp16', help: 'fp16 or fp32' },
  'shard-size': {
    value: 'N',
    parse: wholeNumber(),
    help: 'images or videos per file, the most work that a kill loses (default: 512 images, 8 videos)',
  },
  ...deviceFlags,
  quiet: { help: 'no progress' },
  json: { help: 'print events as JSON lines, without a progress bar' },
} as const satisfies Flags;

type EncodeValues = FlagValues<typeof encodeFlags>;

export const encodeCommand = defineCommand({
  name: 'encode',
  positionals: ['DATA', 'OUT'],
  summary:
    'Encode images or videos to latents for `acdit train --data OUT`. DATA has one folder of images (or with --video, of\n' +
    'videos) per class, or IDX files. The same command resumes if it is interrupted. The path of the latents is printed\n' +
    'last.',
  flags: encodeFlags,
  run: async ({ values, positionals }, context) => {
    const [data, folder] = positionals;
    if (data === undefined || folder === undefined) {
      throw new ArgumentError('encode needs DATA and OUT: acdit encode images latents --vae DIR');
    }
    return encode(data, folder, values, context);
  },
});

interface Settings {
  readonly size: number;
  readonly split: 'train' | 'test';
  readonly video: boolean;
  readonly fold: number | undefined;
  readonly flips: boolean;
  readonly exifOrientation: boolean;
  readonly maxPixels: number | undefined;
  readonly dtype: 'float16' | 'float32';
  readonly shardSize: number | undefined;
  readonly vae: string;
}

function settingsOf(values: EncodeValues): Settings {
  if (values.vae === undefined)
    throw new ArgumentError('encode needs an autoencoder: give its folder with --vae DIR');
  return {
    size: values.size,
    split: values.split,
    video: values.video,
    fold: foldOf(values),
    flips: !values['no-flip'],
    exifOrientation: values['exif-orientation'],
    maxPixels: values['max-pixels'],
    dtype: DTYPES[values.dtype],
    shardSize: values['shard-size'],
    vae: values.vae,
  };
}

function foldOf({ video, fold }: EncodeValues): number | undefined {
  if (fold === undefined) return undefined;
  if (!video) throw new ArgumentError('--fold is for UCF-101, so it goes with --video');
  return Number(fold);
}

async function encode(
  data: string,
  folder: string,
  values: EncodeValues,
  context: CommandContext,
): Promise<undefined> {
  requireApart(data, folder);
  const { vae, ...settings } = settingsOf(values);
  const { report, signal } = context;
  const vaePath = await autoencoderPath(vae, context);
  const { hooks, close } = reportTo(context, { data, folder });
  const device = await openDevice(values);
  const stored = await openAutoencoder(vaePath);
  const { config } = stored;
  try {
    const source = await openSource(data, settings, config, report);
    const fingerprint = await autoencoderFingerprint(stored);
    const encoder = await createAutoencoder({ ...stored, device, parts: ['encoder'], signal });
    const autoencoder = { fingerprint, scalingFactor: config.scalingFactor };
    close(await encodeLatents({ ...settings, source, encoder, autoencoder, folder, signal, hooks }));
  } catch (error) {
    close();
    throw error;
  } finally {
    await stored.close();
    await device.dispose();
  }
}

/** Latents among the pictures would be taken for a class of them. */
function requireApart(data: string, folder: string): void {
  if (!`${resolve(folder)}${sep}`.startsWith(`${resolve(data)}${sep}`)) return;
  throw new ArgumentError(
    `${folder} is inside ${data}; give a folder for the latents that is not among the images`,
  );
}

async function openSource(
  data: string,
  { size, split, video, fold, exifOrientation, maxPixels }: Omit<Settings, 'vae'>,
  config: AutoencoderConfig,
  report: Reporter,
): Promise<ImageDataset | VideoDataset> {
  const factor = downsampling(config);
  if (size % factor !== 0) throw new ArgumentError(`--size must be a multiple of ${factor}, got ${size}`);
  const { inChannels: channels } = config;
  if (channels !== 1 && channels !== 3) {
    throw new ArgumentError(`--vae takes images of ${channels} channels; only 1 and 3 are supported`);
  }
  if (await hasIndex(data))
    throw new ArgumentError(`${data}: holds latents already; give a folder of images or videos`);
  const options = {
    path: data,
    imageSize: size,
    channels,
    split,
    maxPixels,
    ...(exifOrientation && { exifOrientation }),
    warn: report.warn,
  } as const;
  // Whole videos are encoded, so clips may be as short as can be.
  return video ? openVideos({ ...options, frames: 1, fold }) : openImages(options);
}

/** Hooks that tell the terminal what happens; `close` says how it ended. */
function reportTo(
  { report, signal }: CommandContext,
  { data, folder }: { readonly data: string; readonly folder: string },
): { hooks: EncodeHooks; close: (index?: LatentsIndex) => void } {
  const { say, warn, emit } = report;
  const started = performance.now();
  let progress: Progress | undefined;
  let finished = 0;
  let total = 0;
  let items = 0;
  let unit = 'images';

  const hooks: EncodeHooks = {
    onWait: (owner) => say(`checking whether ${owner} still writes to ${folder}`),
    onCheck(shard, index) {
      if (shard === 0) say(`checking the ${index.shards.length} finished shards of ${folder}`);
    },
    async onStart({ index, done, passedOver, damage }) {
      total = shardCount(index);
      items = done;
      unit = unitOf(index);
      finished = index.shards.length - damage.length;
      say(describe(index, done));
      for (const note of earlierLatentsNote(folder, index)) warn(note);
      for (const problem of damage) warn(`${problem}; the shard is made again`);
      if (passedOver) warn(describePassedOver(data, unit, passedOver));
      const { images, latentShape, dtype, flips } = index;
      emit({ kind: 'start', images, done, shards: total, latentShape, dtype, flips, passedOver });
      progress = report.progress({ total: images, start: done, label: 'encode', unit: unit.slice(0, -1) });
      await warnOfSpace(folder, index, done, report);
    },
    onImage(done) {
      items = done;
      progress?.update(done, { shard: `${finished}/${total}` });
    },
    onFrame(frame) {
      if (unit === 'videos') progress?.update(items, { shard: `${finished}/${total}`, frame: String(frame) });
    },
    onShard(shard, index) {
      finished++;
      emit({ kind: 'shard', shard, ...index.shards[shard] });
    },
  };
  return {
    hooks,
    close(index) {
      progress?.finish();
      const seconds = (performance.now() - started) / 1000;
      if (index) {
        const { samples, skipped } = finishedCounts(index);
        if (skipped > 0) say(`${skipped} corrupt ${unit} were skipped`);
        say(`${samples} ${unit} are encoded, in ${formatDuration(seconds)}`);
        emit({ kind: 'done', folder, samples, skipped, seconds });
        report.print(folder);
      } else if (signal.aborted && progress) {
        say(`stopped; ${finished} of ${total} shards are finished, and the same command goes on from there`);
        emit({ kind: 'interrupted', folder, shards: finished });
      }
    },
  };
}

function describe(index: LatentsIndex, done: number): string {
  const { images, classNames, latentShape, clips } = index;
  const what =
    `${images} ${unitOf(index)} of ${classNames.length} classes to latents of ${latentShape.join(' x ')}: ` +
    `${shardCount(index)} shards, ${gigabytes(clips ? frameBytes(index) : images * frameBytes(index))}`;
  const all = clips ? `${what} a frame` : what;
  if (done === images) return `already encoded: ${all}`;
  return done === 0 ? `encoding ${all}` : `going on after ${unitOf(index).slice(0, -1)} ${done}: ${all}`;
}

function unitOf({ clips }: LatentsIndex): 'images' | 'videos' {
  return clips ? 'videos' : 'images';
}

function gigabytes(bytes: number): string {
  if (bytes < 1e6) return `${(bytes / 1e3).toFixed(1)} kB`;
  return bytes >= 1e9 ? `${(bytes / 1e9).toFixed(1)} GB` : `${(bytes / 1e6).toFixed(1)} MB`;
}

/** Days of work should not end at a full disk that could be foreseen. */
async function warnOfSpace(
  folder: string,
  index: LatentsIndex,
  done: number,
  report: Reporter,
): Promise<void> {
  if (index.clips) return; // nobody knows how long they are
  const needed = (index.images - done) * frameBytes(index);
  const { bavail, bsize } = await statfs(folder);
  if (bavail * bsize >= needed) return;
  const free = gigabytes(bavail * bsize);
  report.warn(`${gigabytes(needed)} are needed in ${folder}, and ${free} are free`);
}
