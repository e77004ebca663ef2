/**
 * @file The index of a set of latents: `index.json` in its folder, next to the shards. It says what the set is and was
 * made of, so that encoding can resume later and a reader knows everything before it opens a shard. Processes that encode
 * a part each have an index of their own shards, `index.part-3-of-16.json`, until all are done.
 */

import { existsSync } from 'node:fs';
import { readFile, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { z } from 'zod';
import { at } from '../../at.ts';
import { DatasetError, FormatError } from '../../errors.ts';
import { checksum } from '../../formats/zip-writer.ts';
import { writeTextAtomically } from '../../io/atomic-write.ts';
import { parseJsonOf } from '../../io/json.ts';
import { type Part, partFile, WHOLE } from '../../io/parts.ts';
import { beginningOf } from '../../media/file-formats.ts';

export const INDEX_FILE = 'index.json';
const FORMAT = 'acdit-latents';
/** Version 2 has checksums, and records how pixels were read. */
const VERSION = 2;
/** Version 1 turned images upright by their EXIF orientation. Its folders can be read and completed. */
export const EARLIER_VERSION = 1;
/** An index of millions of images takes less than a megabyte; more is not an index. */
const LARGEST_INDEX = 64 * 2 ** 20;
/** Max places of a random order. */
const MAX_IMAGES = 2 ** 31 - 1;
/** Max parts of a set. */
const MAX_PARTS = 2 ** 20;
/** Values of one image's latents; those of 4096 x 4096 pixels are a sixteenth of it. */
const MAX_VALUES = 2 ** 24;

/** Shown in messages, so nothing that a terminal would take for a command. */
const fingerprint = z.string().regex(/^[\w-]{1,64}$/);
const size = z.int().min(1).max(65536);
const count = z.int().min(0).max(MAX_IMAGES);

const schema = z.strictObject({
  format: z.literal(FORMAT),
  version: z.literal([EARLIER_VERSION, VERSION]),
  /** Names of the classes, by label. */
  classNames: z.array(z.string()).min(1),
  /** Samples are videos: each has frames of its own number, whose latents follow each other. Absent: they are images. */
  clips: z.literal(true).optional(),
  /** Images or videos of the source, the corrupt ones included. */
  images: z.int().min(1).max(MAX_IMAGES),
  /** Fingerprint of the source. */
  source: fingerprint,
  /** Side of the square images that were encoded. */
  imageSize: size,
  /** True if images were turned upright by their EXIF orientation. */
  exifOrientation: z.boolean(),
  /** Channels, height and width of an image's or a frame's latents. */
  latentShape: z.tuple([size, size, size]),
  dtype: z.enum(['float16', 'float32']),
  /** Whether the mirrored images were encoded too. */
  flips: z.boolean(),
  autoencoder: z.strictObject({ fingerprint, scalingFactor: z.number().positive() }),
  /** Images of the source a shard; the last has what is left. */
  shardSize: z.int().min(1).max(MAX_IMAGES),
  /** The finished ones: samples they hold, corrupt images they would have held, and of videos all frames together. */
  shards: z.array(z.strictObject({ samples: count, skipped: count, frames: count.optional() })),
});

/** The CRC-32 of everything else, in the file. */
const checksumSchema = z.int().min(0);
const storedSchema = z.discriminatedUnion('version', [
  schema.extend({ version: z.literal(VERSION), checksum: checksumSchema }),
  schema.extend({
    version: z.literal(EARLIER_VERSION),
    exifOrientation: z.literal(true).default(true),
    checksum: checksumSchema.optional(),
  }),
]);
const storedPartSchema = schema.extend({
  version: z.literal(VERSION),
  /** `shards` lists the shards of this part: those whose numbers, divided by `of`, have the remainder `number` - 1. */
  part: z.strictObject({ number: z.int().min(1), of: z.int().min(1).max(MAX_PARTS) }),
  checksum: checksumSchema,
});

/** The index of a set of latents: what was encoded, how, and into which shards. */
export type LatentsIndex = Readonly<z.infer<typeof schema>> & {
  /** If it is that of a part: which one. Its shards are counted from 0, like those of a whole set. */
  readonly part?: Part | undefined;
};
/** What is known before anything is encoded; encoding resumes only if it is the same. */
export type LatentsSettings = Omit<LatentsIndex, 'format' | 'version' | 'shards'>;

/** An index with nothing encoded yet. */
export function newIndex(settings: LatentsSettings): LatentsIndex {
  return { format: FORMAT, version: VERSION, ...settings, shards: [] };
}

/** Shards of the whole set or part. */
export function shardCount({ images, shardSize, part = WHOLE }: LatentsSettings): number {
  const all = Math.ceil(images / shardSize);
  return Math.max(0, Math.ceil((all - (part.number - 1)) / part.of));
}

/** Returns which shard of the whole set a shard of a part is. */
export function shardNumber({ part = WHOLE }: Pick<LatentsSettings, 'part'>, shard: number): number {
  return part.number - 1 + shard * part.of;
}

/** The source's images that go into a shard: `count` of them, from `first` up to `end`. */
export function shardRange(settings: LatentsSettings, shard: number) {
  const { images, shardSize } = settings;
  const first = shardNumber(settings, shard) * shardSize;
  const end = Math.min(first + shardSize, images);
  return { first, end, count: end - first };
}

/** Images or videos of the whole set or part, the corrupt ones included. */
export function imageCount(settings: LatentsSettings): number {
  const shards = Array.from(
    { length: shardCount(settings) },
    (_, shard) => shardRange(settings, shard).count,
  );
  return shards.reduce((sum, count) => sum + count, 0);
}

/** Images or frames that a finished shard holds. */
export function shardFrames({ shards }: LatentsIndex, shard: number): number {
  const { samples, frames = samples } = at(shards, shard);
  return frames;
}

export function shardFile(folder: string, index: Pick<LatentsSettings, 'part'>, shard: number): string {
  return join(folder, `shard-${String(shardNumber(index, shard)).padStart(5, '0')}.safetensors`);
}

/** Returns the path of the index of a folder, or of that of a part. */
export function indexFile(folder: string, part: Part | undefined): string {
  const path = join(folder, INDEX_FILE);
  return part ? partFile(path, part) : path;
}

/** Sums over the finished shards. */
export function finishedCounts({ shards }: LatentsIndex) {
  return shards.reduce(
    (sum, shard) => ({ samples: sum.samples + shard.samples, skipped: sum.skipped + shard.skipped }),
    { samples: 0, skipped: 0 },
  );
}

/** Whether a folder has an index of latents, valid or damaged, and not just a file of that name. */
export async function hasIndex(folder: string): Promise<boolean> {
  const start = await beginningOf(join(folder, INDEX_FILE), 256);
  return start !== undefined && (start.includes(FORMAT) || existsSync(shardFile(folder, {}, 0)));
}

/**
 * Read and check a folder's index, or that of a part.
 * @throws {DatasetError} if it cannot be read; {FormatError} if it is none, or its numbers do not fit together.
 */
export async function readIndex(folder: string, part?: Part): Promise<LatentsIndex> {
  const path = indexFile(folder, part);
  try {
    if ((await stat(path)).size <= LARGEST_INDEX) return parseIndex(await readFile(path, 'utf8'), path, part);
  } catch (cause) {
    if (cause instanceof FormatError) throw cause;
    if ((cause as NodeJS.ErrnoException).code === 'ENOENT') {
      throw new DatasetError(`${path}: does not exist; make a set of latents with acdit encode`, { cause });
    }
    throw new DatasetError(`${path}: cannot be read (${(cause as Error).message})`, { cause });
  }
  throw new FormatError(`${path}: is far too large for an index of latents`);
}

/** @throws {FormatError} if it is not an index, or not that of the part, or its numbers do not fit together. */
export function parseIndex(text: string, name: string, part?: Part): LatentsIndex {
  const otherwise = `not an index of latents (version ${EARLIER_VERSION} or ${VERSION})`;
  const { checksum: sum, ...index } = part
    ? parseJsonOf(text, name, storedPartSchema, otherwise, FormatError)
    : parseJsonOf(text, name, storedSchema, otherwise, FormatError);
  const problem = inconsistency(index, part);
  if (problem) throw new FormatError(`${name}: ${problem}; the index is damaged`);
  if (sum !== undefined && sum !== indexChecksum(index)) {
    throw new FormatError(
      `${name}: the index is damaged: its checksum is wrong; restore a copy, or encode to another folder`,
    );
  }
  return index;
}

/** Returns a warning if a set of latents is of an earlier version, whose damage cannot be noticed. */
export function earlierLatentsNote(folder: string, { version }: LatentsIndex): string[] {
  if (version !== EARLIER_VERSION) return [];
  return [
    `${folder}: was encoded by an earlier version, without checksums, so damage to it would not be noticed`,
  ];
}

/** Returns the text of an index's file. */
export function formatIndex(index: LatentsIndex): string {
  return `${JSON.stringify({ ...index, checksum: indexChecksum(index) }, null, 1)}\n`;
}

function indexChecksum(index: LatentsIndex): number {
  const entries = Object.entries(index).filter(([, value]) => value !== undefined);
  return checksum(new TextEncoder().encode(JSON.stringify(entries.sort(([a], [b]) => (a < b ? -1 : 1)))));
}

function inconsistency(index: LatentsIndex, part: Part | undefined): string | undefined {
  const { latentShape, shards } = index;
  if (index.part?.number !== part?.number || index.part?.of !== part?.of) return 'is of another part';
  if (latentShape.reduce((product, dim) => product * dim, 1) > MAX_VALUES) {
    return `latents of [${latentShape}] are absurdly large`;
  }
  const most = shardCount(index);
  if (shards.length > most) return `lists ${shards.length} shards where there can be ${most}`;
  const uncounted = shards.find(({ samples, frames = -1 }) => (index.clips ? frames < samples : frames >= 0));
  if (uncounted) return `shard ${shards.indexOf(uncounted)} counts ${uncounted.frames ?? 'no'} frames`;
  for (const [shard, { samples, skipped }] of shards.entries()) {
    const { count } = shardRange(index, shard);
    if (samples + skipped === count) continue;
    return `shard ${shard} counts ${samples} samples and ${skipped} skipped where there are ${count} images`;
  }
  return undefined;
}

/** Replace a folder's index, or that of a part, as a whole. */
export async function writeIndex(folder: string, index: LatentsIndex): Promise<void> {
  await writeTextAtomically(indexFile(folder, index.part), formatIndex(index));
}
