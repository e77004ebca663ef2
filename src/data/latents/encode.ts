/**
 * @file Encoding a dataset of images or videos to latents, shard by shard. A shard's images and place are known
 * beforehand, so interrupted work resumes with the first shard that is not finished and ends with the same bytes.
 */

import { readdir } from 'node:fs/promises';
import { at, take } from '../../at.ts';
import { AcditError, ConfigError, DatasetError, FormatError } from '../../errors.ts';
import { makeFolders, removeTemporaries } from '../../io/atomic-write.ts';
import { closingAfter } from '../../io/byte-source.ts';
import { type Lock, lockFolder } from '../../io/lock.ts';
import { classChange } from '../../models/acdit/class-names.ts';
import type { LatentOrigin } from '../../models/acdit/config.ts';
import type { Autoencoder, LatentDistribution } from '../../models/autoencoder/autoencoder.ts';
import { downsampling } from '../../models/autoencoder/config.ts';
import { joinArrays } from '../../tensor/axes.ts';
import { elementCount, float32 } from '../../tensor/tensor.ts';
import { flipHorizontally } from '../augment.ts';
import { CorruptVideo, type ImageDataset, type Recording, type VideoDataset } from '../dataset.ts';
import type { IgnoredFiles } from '../folder-files.ts';
import {
  hasIndex,
  INDEX_FILE,
  type LatentsIndex,
  type LatentsSettings,
  newIndex,
  readIndex,
  shardCount,
  shardRange,
  writeIndex,
} from './index-file.ts';
import { type EncodedFrame, type EncodedSample, frameBytes, openShard, writeShard } from './shard.ts';

/** What is encoded, with what, and where it goes. */
export interface EncodeOptions {
  readonly source: ImageDataset | VideoDataset;
  /** Encodes; its latents times the scaling factor are what models learn. */
  readonly encoder: Pick<Autoencoder, 'config' | 'encode'>;
  readonly autoencoder: LatentOrigin;
  /** True if the source turns images upright by their EXIF orientation (default: false). */
  readonly exifOrientation?: boolean | undefined;
  /** Where index.json and the shards go. */
  readonly folder: string;
  /** Encode mirrored images too (default: true). */
  readonly flips?: boolean | undefined;
  /** Type of the latents (default: float16, whose rounding is far below the noise that is added in training). */
  readonly dtype?: 'float16' | 'float32' | undefined;
  /** Images (default: 512) or videos (default: 8) per shard. A kill loses at most one shard's work. */
  readonly shardSize?: number | undefined;
  readonly signal?: AbortSignal;
  readonly hooks?: EncodeHooks;
}

/** Where encoding starts or resumes. */
export interface EncodeStart {
  readonly index: LatentsIndex;
  /** Images of finished shards. */
  readonly done: number;
  /** Ignored files of the source. */
  readonly ignoredFiles: IgnoredFiles | undefined;
  /** What is wrong with finished shards that have to be made again. */
  readonly damage: readonly string[];
}

/** Called as the encoding progresses. */
export interface EncodeHooks {
  /**
   * Called if it is unknown whether another process, which is named, still writes to the folder; this one waits to find
   * out.
   */
  onWait?(owner: string): void;
  /** Called before a finished shard is checked. */
  onCheck?(shard: number, index: LatentsIndex): void;
  /** Before the first image. */
  onStart?(start: EncodeStart): void | Promise<void>;
  /** Images or videos done, corrupt ones and those of finished shards included. */
  onImage?(done: number): void;
  /** Frames of the present video done. */
  onFrame?(frames: number): void;
  /** A shard is written, and in the index. */
  onShard?(shard: number, index: LatentsIndex): void;
}

const DEFAULT_SHARD_SIZE = { images: 512, videos: 8 } as const;
/** Max bytes of a shard. */
const LARGEST_SHARD = 2 ** 30;
/** Images decoded ahead of the encoder, which takes far longer for one. Videos are decoded while they are encoded. */
const READ_AHEAD = 8;

/**
 * Encodes a dataset, or resumes encoding it. Finished shards are read and checked, and kept; one that is damaged or
 * missing is made again.
 * @returns the index of the finished set.
 * @throws {ArgumentError} if another process writes to the folder.
 * @throws {ConfigError} if the folder was encoded with other settings, or the images do not fit the autoencoder.
 * @throws {DatasetError} if too many images are corrupt; {AcditError} if a file cannot be written.
 * @throws the signal's reason once it is aborted; what is finished stays.
 */
export async function encodeLatents(options: EncodeOptions): Promise<LatentsIndex> {
  const settings = await settingsOf(options);
  requireModestShards(settings);
  await makeFolders(options.folder);
  const { signal, hooks = {} } = options;
  const lock = await lockFolder(options.folder, { signal, onWait: (owner) => hooks.onWait?.(owner) });
  return closingAfter(lock, () => encodeLocked(options, settings, lock));
}

async function encodeLocked(options: EncodeOptions, settings: LatentsSettings, lock: Lock) {
  const { source, folder, signal, hooks = {} } = options;
  let index = await startingIndex(folder, settings);
  await removeTemporaries(folder, isOwnFile);
  const damage = await damagedShards(folder, index, options);
  const kept = new Set([...index.shards.keys()].filter((shard) => !damage.has(shard)));
  let done = [...kept].reduce((sum, shard) => sum + shardRange(index, shard).count, 0);
  await hooks.onStart?.({ index, done, ignoredFiles: source.ignoredFiles, damage: [...damage.values()] });
  for (let shard = 0; shard < shardCount(index); shard++) {
    if (kept.has(shard)) continue;
    const { first, end, count } = shardRange(index, shard);
    const samples: EncodedSample[] = [];
    let number = first;
    for await (const recording of readAhead(source, first, end)) {
      signal?.throwIfAborted();
      const sample = recording && (await encodeRecording(options, index, recording, number));
      if (sample) samples.push(sample);
      requireRoom(index, samples);
      number++;
      hooks.onImage?.(++done);
    }
    await lock.requireHeld();
    await writeShard(folder, index, shard, samples);
    const shards = [...index.shards];
    const frames = frameCount(samples);
    const skipped = count - samples.length;
    shards[shard] = { samples: samples.length, skipped, ...(index.clips && { frames }) };
    index = { ...index, shards };
    await writeIndex(folder, index);
    hooks.onShard?.(shard, index);
  }
  return index;
}

async function settingsOf(options: EncodeOptions): Promise<LatentsSettings> {
  const { source, encoder, autoencoder, flips = true, dtype = 'float16', exifOrientation = false } = options;
  const [, channels, imageSize, width] = source.sampleShape;
  const factor = downsampling(encoder.config);
  const { inChannels, latentChannels } = encoder.config;
  if (imageSize !== width || imageSize % factor !== 0) {
    throw new ConfigError(`the size of images must be a multiple of ${factor}, got ${imageSize} x ${width}`);
  }
  if (channels !== inChannels) {
    throw new ConfigError(`the autoencoder takes images of ${inChannels} channels, got ${channels}`);
  }
  return {
    classNames: [...source.classNames],
    ...(isVideos(source) && { clips: true }),
    images: source.size,
    source: await source.fingerprint(),
    imageSize,
    exifOrientation,
    latentShape: [latentChannels, imageSize / factor, imageSize / factor],
    dtype,
    flips,
    autoencoder: { fingerprint: autoencoder.fingerprint, scalingFactor: autoencoder.scalingFactor },
    shardSize: options.shardSize ?? DEFAULT_SHARD_SIZE[isVideos(source) ? 'videos' : 'images'],
  };
}

/** A shard is in memory until it is written. */
function requireModestShards(settings: LatentsSettings): void {
  const most = Math.floor(LARGEST_SHARD / frameBytes(settings));
  if (settings.clips || Math.min(settings.shardSize, settings.images) <= most) return;
  throw new ConfigError(`shards of ${settings.shardSize} images are too large; take at most ${most}`);
}

/** The length of videos is known only when they are encoded. */
function requireRoom(index: LatentsIndex, samples: readonly EncodedSample[]): void {
  if (!index.clips || frameCount(samples) * frameBytes(index) <= LARGEST_SHARD) return;
  throw new ConfigError(
    `shards of ${index.shardSize} videos are too large; take fewer, or cut long videos into pieces`,
  );
}

function frameCount(samples: readonly EncodedSample[]): number {
  return samples.reduce((sum, { frames }) => sum + frames.length, 0);
}

function isVideos(source: EncodeOptions['source']): source is VideoDataset {
  return 'record' in source;
}

/** What the folder's index says, or a new one. @throws {ConfigError} if it was made with other settings. */
async function startingIndex(folder: string, settings: LatentsSettings): Promise<LatentsIndex> {
  const fresh = newIndex(settings);
  if (await hasIndex(folder)) {
    const index = await readIndex(folder);
    requireSame(folder, index, fresh);
    return index;
  }
  const foreignFile = (await readdir(folder)).find(isOwnFile);
  if (foreignFile !== undefined) {
    throw new DatasetError(
      `${folder}: holds ${foreignFile} but no index of latents; give a new folder, or remove what is in this one`,
    );
  }
  await writeIndex(folder, fresh);
  return fresh;
}

function isOwnFile(name: string): boolean {
  return name === INDEX_FILE || /^shard-\d+\.safetensors$/.test(name);
}

/** What settings are called in messages. */
const SETTING_NAMES = {
  classNames: 'the classes',
  clips: 'whether it is of videos',
  images: 'the number of images',
  source: 'the data (names and lengths of its files, as a fingerprint)',
  imageSize: 'the image size',
  exifOrientation: 'the use of EXIF orientation',
  latentShape: 'the shape of latents',
  dtype: 'the dtype',
  flips: 'whether there are flips',
  autoencoder: 'the autoencoder',
  shardSize: 'the shard size',
} as const satisfies Record<keyof LatentsSettings, string>;

function requireSame(folder: string, before: LatentsIndex, now: LatentsIndex): void {
  const show = (value: unknown): string => {
    const text = JSON.stringify(value);
    return text.length > 100 ? `${text.slice(0, 100)}...` : text;
  };
  for (const [key, name] of Object.entries(SETTING_NAMES) as [keyof LatentsSettings, string][]) {
    if (JSON.stringify(before[key]) === JSON.stringify(now[key])) continue;
    const classes = key === 'classNames' && classChange(before.classNames, now.classNames);
    const change = classes || `${name} was ${show(before[key])} and is now ${show(now[key])}`;
    throw new ConfigError(
      `${folder} was encoded with other settings: ${change}; use the same settings to resume, or give another folder`,
    );
  }
}

/** Listed shards whose files are not what they should be, with what is wrong. */
async function damagedShards(
  folder: string,
  index: LatentsIndex,
  { signal, hooks }: EncodeOptions,
): Promise<Map<number, string>> {
  const damage = new Map<number, string>();
  for (let shard = 0; shard < index.shards.length; shard++) {
    hooks?.onCheck?.(shard, index);
    try {
      const opened = await openShard(folder, index, shard);
      await opened.verify(signal).finally(() => opened.close());
    } catch (error) {
      if (!(error instanceof FormatError)) throw error;
      damage.set(shard, error.message);
    }
  }
  return damage;
}

/** An image as its one frame, or a video. */
async function recordingOf(source: EncodeOptions['source'], index: number): Promise<Recording | undefined> {
  if (isVideos(source)) return source.record(index);
  const sample = await source.read(index);
  return sample && { label: sample.label, frames: [sample.values] };
}

/** What is at `first` to `end` in order; the next images are decoded meanwhile, on other threads. */
async function* readAhead(source: EncodeOptions['source'], first: number, end: number) {
  const ahead: Promise<Recording | undefined>[] = [];
  for (let next = first; next < end || ahead.length > 0; ) {
    while (next < end && ahead.length < READ_AHEAD) {
      const recording = recordingOf(source, next++);
      // Seen when its turn comes; until then a failure must not count as unhandled.
      recording.catch(() => {});
      ahead.push(recording);
    }
    yield await ahead.shift();
  }
}

/** Encodes frame by frame, so that only one is in memory; undefined if it cannot be read to its end. */
async function encodeRecording(
  options: EncodeOptions,
  index: LatentsIndex,
  { frames, label }: Recording,
  number: number,
): Promise<EncodedSample | undefined> {
  const encoded: EncodedFrame[] = [];
  try {
    for await (const frame of frames) {
      options.signal?.throwIfAborted();
      encoded.push(await encodeFrame(options, index, frame, number));
      options.hooks?.onFrame?.(encoded.length);
    }
  } catch (error) {
    if (error instanceof CorruptVideo) return undefined;
    throw error;
  }
  return { frames: encoded, label };
}

async function encodeFrame(
  { source, encoder, signal }: EncodeOptions,
  { flips, dtype }: LatentsIndex,
  values: Float32Array,
  number: number,
): Promise<EncodedFrame> {
  const { sampleShape } = source;
  const variants = flips ? [values, flipHorizontally(values, sampleShape)] : [values];
  const shape = [variants.length, ...sampleShape.slice(1)];
  const pictures = float32(shape, joinArrays('float32', variants));
  const [moments, flipped] = take(momentsOf(await encoder.encode(pictures, { signal })), 1);
  const largest = dtype === 'float16' ? 65504 : Number.MAX_VALUE;
  const isHeld = (value: number): boolean => Math.abs(value) <= largest;
  if (moments.every(isHeld) && (flipped?.every(isHeld) ?? true)) return { moments, flipped };
  throw new AcditError(
    `${source.name}: ${isVideos(source) ? 'video' : 'image'} ${number} gives latents beyond what ${dtype} holds; ` +
      'the autoencoder may be broken, else use --dtype fp32',
  );
}

/** Means and then log variances of each image. */
function momentsOf({ mean, logVariance }: LatentDistribution): Float32Array[] {
  const size = elementCount(mean.shape.slice(1));
  return Array.from({ length: at(mean.shape, 0) }, (_, n) => {
    const parts = [mean, logVariance].map(({ data }) => data.subarray(n * size, (n + 1) * size));
    return joinArrays('float32', parts);
  });
}
