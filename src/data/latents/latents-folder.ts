/** @file The folder that latents are encoded to: what is finished in it, and who may write to it. */

import { readdir, rm } from 'node:fs/promises';
import { basename, join } from 'node:path';
import { at } from '../../at.ts';
import { ArgumentError, ConfigError, DatasetError, FormatError } from '../../errors.ts';
import { companionFile, makeFolders, removeTemporaries } from '../../io/atomic-write.ts';
import { closingOnError } from '../../io/byte-source.ts';
import { isFile } from '../../io/file-source.ts';
import { type Lock, lockFolder, takeLock } from '../../io/lock.ts';
import { type Part, partsOf, unfinishedParts } from '../../io/parts.ts';
import { classChange } from '../../models/acdit/class-names.ts';
import {
  hasIndex,
  INDEX_FILE,
  indexFile,
  type LatentsIndex,
  type LatentsSettings,
  newIndex,
  readIndex,
  shardCount,
  shardRange,
  writeIndex,
} from './index-file.ts';
import { type EncodedSample, frameCount, openShard, writeShard } from './shard.ts';

/** Called while a folder is opened. */
interface FolderOptions {
  readonly signal?: AbortSignal | undefined;
  onWait(owner: string): void;
  onCheck(shard: number, index: LatentsIndex): void;
}

/** A folder of latents that this process alone writes to, or whose part it alone writes. */
export interface LatentsFolder {
  readonly index: LatentsIndex;
  /** Shards that have to be made, by number, with what is wrong with those that were finished. */
  readonly missing: ReadonlyMap<number, string | undefined>;
  /** Writes a shard, and then the index. */
  write(shard: number, samples: readonly EncodedSample[]): Promise<void>;
  close(): Promise<void>;
}

/**
 * Opens a folder, finished or not, or makes it. If all parts of a set are finished, they are put together.
 * @throws {ArgumentError} if another process writes to it; {ConfigError} if it was encoded with other settings, or a part is
 * not finished; {DatasetError} if there are shards without an index.
 */
export async function openLatentsFolder(
  folder: string,
  settings: LatentsSettings,
  options: FolderOptions,
): Promise<LatentsFolder> {
  await makeFolders(folder);
  const lock = await lockLatents(folder, settings.part, options);
  return closingOnError(lock, async () => {
    let index = await startingIndex(folder, settings);
    await removeTemporaries(folder, (name) => isOwnFile(name, settings.part));
    const isMerged = settings.part !== undefined && (await hasIndex(folder));
    const damage = isMerged ? new Map<number, string>() : await damagedShards(folder, index, options);
    const missing = new Map<number, string | undefined>();
    for (let shard = 0; shard < shardCount(index); shard++) {
      if (shard >= index.shards.length || damage.has(shard)) missing.set(shard, damage.get(shard));
    }
    return {
      get index() {
        return index;
      },
      missing,
      async write(shard, samples) {
        await lock.requireHeld();
        await writeShard(folder, index, shard, samples);
        const shards = [...index.shards];
        const frames = frameCount(samples);
        const skipped = shardRange(index, shard).count - samples.length;
        shards[shard] = { samples: samples.length, skipped, ...(index.clips && { frames }) };
        index = { ...index, shards };
        await writeIndex(folder, index);
      },
      close: () => lock.close(),
    };
  });
}

function lockLatents(folder: string, part: Part | undefined, options: FolderOptions): Promise<Lock> {
  if (!part) return lockFolder(folder, options);
  return takeLock(companionFile(indexFile(folder, part), '.lock'), {
    ...options,
    refusal: (owner) =>
      new ArgumentError(
        `${folder}: ${owner} is encoding part ${part.number} of ${part.of}; encode each part once`,
      ),
  });
}

/** What the folder's index says, or a new one. @throws {ConfigError} if it was made with other settings. */
async function startingIndex(folder: string, settings: LatentsSettings): Promise<LatentsIndex> {
  const fresh = newIndex(settings);
  const { part } = settings;
  if (await hasIndex(folder)) {
    const index = await readIndex(folder);
    requireSame(folder, index, { ...settings, part: undefined });
    return part ? partOf(folder, index, fresh) : index;
  }
  const ownFile = (await readdir(folder)).find((name) => isOwnFile(name, undefined));
  const of = await partsOf(join(folder, INDEX_FILE));
  if (part && of !== undefined && of !== part.of) {
    throw new ConfigError(`${folder} is encoded in ${of} parts, not in ${part.of}; use the same number`);
  }
  const parts = of === undefined ? [] : await readParts(folder, settings, of);
  const own = part && parts[part.number - 1];
  if (own) return own;
  if (of !== undefined && !part) return putTogether(folder, fresh, parts);
  if (ownFile !== undefined && !parts.some(Boolean)) {
    throw new DatasetError(
      `${folder}: holds ${ownFile} but no index of latents; give a new folder, or remove what is in this one`,
    );
  }
  await writeIndex(folder, fresh);
  return fresh;
}

/** Whether a file of that name is one of a set's shards or its index; of a part, only those that it writes. */
function isOwnFile(name: string, part: Part | undefined): boolean {
  if (name === basename(indexFile('', part))) return true;
  const [, number] = /^shard-(\d+)\.safetensors$/.exec(name) ?? [];
  return number !== undefined && (!part || Number(number) % part.of === part.number - 1);
}

/** The part of a finished set. @throws {ConfigError} if it is not finished */
function partOf(folder: string, whole: LatentsIndex, part: LatentsIndex): LatentsIndex {
  if (whole.shards.length < shardCount(whole)) {
    throw new ConfigError(`${folder} was begun as a whole, not in parts; finish it without --part`);
  }
  const shards = whole.shards.filter((_, shard) => shard % part.part!.of === part.part!.number - 1);
  return { ...part, shards };
}

/** The indexes of all parts; undefined for those that have not begun. @throws {ConfigError} if the settings differ */
async function readParts(
  folder: string,
  settings: LatentsSettings,
  of: number,
): Promise<(LatentsIndex | undefined)[]> {
  const parts: (LatentsIndex | undefined)[] = [];
  for (let number = 1; number <= of; number++) {
    const part = { number, of };
    const index = (await isFile(indexFile(folder, part))) ? await readIndex(folder, part) : undefined;
    if (index) requireSame(`part ${number} of ${folder}`, index, { ...settings, part });
    parts.push(index);
  }
  return parts;
}

/** Writes one index instead of those of all parts. @throws {ConfigError} if a part is not finished */
async function putTogether(
  folder: string,
  fresh: LatentsIndex,
  parts: readonly (LatentsIndex | undefined)[],
): Promise<LatentsIndex> {
  const of = parts.length;
  const isFinished = (part: LatentsIndex | undefined): boolean =>
    part !== undefined && part.shards.length >= shardCount(part);
  const unfinished = parts.flatMap((part, i) => (isFinished(part) ? [] : [i + 1]));
  if (unfinished.length > 0) throw new ConfigError(`${folder}: ${unfinishedParts(unfinished, of)}`);
  const shards = Array.from({ length: shardCount(fresh) }, (_, shard) =>
    at(parts[shard % of]!.shards, Math.floor(shard / of)),
  );
  const index = { ...fresh, shards };
  await writeIndex(folder, index);
  for (const { part } of parts as readonly LatentsIndex[]) await rm(indexFile(folder, part), { force: true });
  return index;
}

/** What settings are called in messages. */
export const SETTING_NAMES = {
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
  part: 'the part',
} as const satisfies Record<keyof LatentsSettings, string>;

function requireSame(what: string, before: LatentsIndex, now: LatentsSettings): void {
  const show = (value: unknown): string => {
    const text = JSON.stringify(value) ?? 'none';
    return text.length > 100 ? `${text.slice(0, 100)}...` : text;
  };
  for (const [key, name] of Object.entries(SETTING_NAMES) as [keyof LatentsSettings, string][]) {
    if (JSON.stringify(before[key]) === JSON.stringify(now[key])) continue;
    const classes = key === 'classNames' && classChange(before.classNames, now.classNames);
    const change = classes || `${name} was ${show(before[key])} and is now ${show(now[key])}`;
    throw new ConfigError(
      `${what} was encoded with other settings: ${change}; use the same settings to resume, or give another folder`,
    );
  }
}

/** Listed shards whose files are not what they should be, with what is wrong. */
async function damagedShards(
  folder: string,
  index: LatentsIndex,
  { signal, onCheck }: FolderOptions,
): Promise<Map<number, string>> {
  const damage = new Map<number, string>();
  for (let shard = 0; shard < index.shards.length; shard++) {
    onCheck(shard, index);
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
