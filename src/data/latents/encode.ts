/**
 * @file Encoding a dataset of images or videos to latents, shard by shard. A shard's images and place are known
 * beforehand, so interrupted work resumes with the first shard that is not finished and ends with the same bytes, however
 * many processes share it.
 */

import { deserialize, serialize } from 'node:v8';
import { at } from '../../at.ts';
import { exchangeTexts, onEach, onFirst } from '../../distributed/agree.ts';
import { requireAlike } from '../../distributed/alike.ts';
import type { Ranks } from '../../distributed/communicator.ts';
import { inOrder } from '../../distributed/in-order.ts';
import { ConfigError } from '../../errors.ts';
import { closingOnError } from '../../io/byte-source.ts';
import type { Part } from '../../io/parts.ts';
import type { LatentOrigin } from '../../models/acdit/config.ts';
import { downsampling } from '../../models/autoencoder/config.ts';
import type { IgnoredFiles } from '../folder-files.ts';
import { type EncodeSource, encodeSamples, isVideos } from './encode-samples.ts';
import { imageCount, type LatentsIndex, type LatentsSettings, newIndex, shardRange } from './index-file.ts';
import { type LatentsFolder, openLatentsFolder, SETTING_NAMES } from './latents-folder.ts';
import { type EncodedSample, frameBytes, frameCount } from './shard.ts';

/** What is encoded, with what, and where it goes. */
export interface EncodeOptions extends EncodeSource {
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
  /** Encode only the shards of this part; without it, finished parts are put together (default: none). */
  readonly part?: Part | undefined;
  /** The processes that encode together, all with the same options. The first one alone calls hooks and writes files. */
  readonly ranks?: Ranks | undefined;
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

/** A run of a shard's images or videos, encoded at once by one process. */
interface Piece {
  readonly shard: number;
  readonly first: number;
  readonly end: number;
  /** Whether the shard ends with it. */
  readonly isLast: boolean;
}

const DEFAULT_SHARD_SIZE = { images: 512, videos: 8 } as const;
/** Max bytes of a shard. */
const LARGEST_SHARD = 2 ** 30;
/** What a rank encodes at once: little, so that a kill loses no more than one shard's work, and all ranks have some. */
const AT_ONCE = { images: 8, videos: 1 } as const;

/**
 * Encodes a dataset, or resumes encoding it. Finished shards are read and checked, and kept; one that is damaged or
 * missing is made again. Ranks encode in turn, and the first one writes. If all parts of the set are finished, they are put
 * together.
 * @returns the index of the finished set or part; on other ranks than the first, it lists no shards.
 * @throws {ArgumentError} if another process writes to the folder, or the same part.
 * @throws {ConfigError} if the folder was encoded with other settings, the images do not fit the autoencoder, or a part is
 * not finished.
 * @throws {DatasetError} if too many images are corrupt; {AcditError} if a file cannot be written.
 * @throws the signal's reason once it is aborted; what is finished stays.
 */
export async function encodeLatents(options: EncodeOptions): Promise<LatentsIndex> {
  const { ranks } = options;
  const settings = await onEach(ranks, () => settingsOf(options));
  if (ranks) await requireAlike(ranks.communicator, factsOf(settings));
  let folder: LatentsFolder | undefined;
  try {
    await onFirst(ranks, async () => {
      folder = await openFolder(options, settings);
    });
    await encodeMissing(options, settings, folder);
    return folder?.index ?? newIndex(settings);
  } finally {
    await (folder as LatentsFolder | undefined)?.close();
  }
}

/** The settings, for comparison between ranks. */
function factsOf(settings: LatentsSettings): Record<string, string> {
  const names = Object.entries(SETTING_NAMES) as [keyof LatentsSettings, string][];
  return Object.fromEntries(names.map(([key, name]) => [name, JSON.stringify(settings[key]) ?? 'none']));
}

async function openFolder(
  { source, folder: path, signal, hooks = {} }: EncodeOptions,
  settings: LatentsSettings,
): Promise<LatentsFolder> {
  const folder = await openLatentsFolder(path, settings, {
    signal,
    onWait: (owner) => hooks.onWait?.(owner),
    onCheck: (shard, index) => hooks.onCheck?.(shard, index),
  });
  return closingOnError(folder, async () => {
    const { index, missing } = folder;
    const damage = [...missing.values()].filter((problem) => problem !== undefined);
    const done = doneOf(settings, [...missing.keys()]);
    await hooks.onStart?.({ index, done, ignoredFiles: source.ignoredFiles, damage });
    return folder;
  });
}

/** Images of all shards but the missing ones. */
function doneOf(settings: LatentsSettings, missing: readonly number[]): number {
  return imageCount(settings) - missing.reduce((sum, shard) => sum + shardRange(settings, shard).count, 0);
}

/** @param folder is on the first rank only */
async function encodeMissing(
  options: EncodeOptions,
  settings: LatentsSettings,
  folder: LatentsFolder | undefined,
): Promise<void> {
  const { ranks, signal, hooks = {} } = options;
  const missing = await missingOnAll(ranks, folder);
  const pieces = piecesOf(settings, missing, ranks && AT_ONCE[settings.clips ? 'videos' : 'images']);
  let done = doneOf(settings, missing);
  let samples: EncodedSample[] = [];
  const encode = async (piece: Piece, abort: AbortSignal | undefined, onSample = () => {}) => {
    const encoded: EncodedSample[] = [];
    for await (const sample of encodeSamples({ ...options, signal: abort }, settings, piece, hooks.onFrame)) {
      if (sample) encoded.push(sample);
      requireRoom(settings, encoded);
      onSample();
    }
    return encoded;
  };
  const add = async ({ shard, isLast }: Piece, encoded: readonly EncodedSample[]): Promise<void> => {
    samples.push(...encoded);
    requireRoom(settings, samples);
    if (!isLast) return;
    await folder?.write(shard, samples);
    samples = [];
    if (folder) hooks.onShard?.(shard, folder.index);
  };
  if (!ranks) {
    for (const piece of pieces) await add(piece, await encode(piece, signal, () => hooks.onImage?.(++done)));
    return;
  }
  await inOrder(ranks, {
    count: pieces.length,
    make: async (item, abort) => serialize(await encode(at(pieces, item), abort)),
    async take(bytes, item) {
      const { first, end } = at(pieces, item);
      await add(at(pieces, item), deserialize(bytes));
      done += end - first;
      hooks.onImage?.(done);
    },
  });
}

/** The shards that have to be made, on all ranks. Collective. */
async function missingOnAll(ranks: Ranks | undefined, folder: LatentsFolder | undefined): Promise<number[]> {
  const missing = [...(folder?.missing.keys() ?? [])];
  if (!ranks) return missing;
  const [first = '[]'] = await exchangeTexts(ranks.communicator, JSON.stringify(missing));
  return JSON.parse(first);
}

/** Divides shards into pieces of at most `size` images. */
function piecesOf(
  settings: LatentsSettings,
  shards: readonly number[],
  size = Number.MAX_SAFE_INTEGER,
): Piece[] {
  return shards.flatMap((shard) => {
    const { first, end, count } = shardRange(settings, shard);
    return Array.from({ length: Math.ceil(count / size) }, (_, i) => {
      const from = first + i * size;
      const to = Math.min(end, from + size);
      return { shard, first: from, end: to, isLast: to === end };
    });
  });
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
  const settings = {
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
    ...(options.part && { part: options.part }),
  } satisfies LatentsSettings;
  requireModestShards(settings);
  return settings;
}

/** A shard is in memory until it is written. */
function requireModestShards(settings: LatentsSettings): void {
  const most = Math.floor(LARGEST_SHARD / frameBytes(settings));
  if (settings.clips || Math.min(settings.shardSize, settings.images) <= most) return;
  throw new ConfigError(`shards of ${settings.shardSize} images are too large; take at most ${most}`);
}

/** The length of videos is known only when they are encoded. */
function requireRoom(settings: LatentsSettings, samples: readonly EncodedSample[]): void {
  if (!settings.clips || frameCount(samples) * frameBytes(settings) <= LARGEST_SHARD) return;
  throw new ConfigError(
    `shards of ${settings.shardSize} videos are too large; take fewer, or cut long videos into pieces`,
  );
}
