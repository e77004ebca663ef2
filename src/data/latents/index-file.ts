/**
 * @file The index of a set of latents: `index.json` in its folder, next to the shards. It says what the set is and was
 * made of, so that encoding can resume later and a reader knows everything before it opens a shard.
 */

import { existsSync } from 'node:fs';
import { readFile, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { z } from 'zod';
import { at } from '../../at.ts';
import { DatasetError, FormatError } from '../../errors.ts';
import { checksum } from '../../formats/zip-writer.ts';
import { writeFileAtomically } from '../../io/atomic-write.ts';
import { parseJsonOf } from '../../io/json.ts';
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

/** The index of a set of latents: what was encoded, how, and into which shards. */
export type LatentsIndex = Readonly<z.infer<typeof schema>>;
/** What is known before anything is encoded; encoding resumes only if it is the same. */
export type LatentsSettings = Omit<LatentsIndex, 'format' | 'version' | 'shards'>;

/** An index with nothing encoded yet. */
export function newIndex(settings: LatentsSettings): LatentsIndex {
  return { format: FORMAT, version: VERSION, ...settings, shards: [] };
}

/** Shards of the whole set. */
export function shardCount({ images, shardSize }: LatentsSettings): number {
  return Math.ceil(images / shardSize);
}

/** The source's images that go into a shard: `count` of them, from `first` up to `end`. */
export function shardRange({ images, shardSize }: LatentsSettings, shard: number) {
  const first = shard * shardSize;
  const end = Math.min(first + shardSize, images);
  return { first, end, count: end - first };
}

/** Images or frames that a finished shard holds. */
export function shardFrames({ shards }: LatentsIndex, shard: number): number {
  const { samples, frames = samples } = at(shards, shard);
  return frames;
}

export function shardFile(folder: string, shard: number): string {
  return join(folder, `shard-${String(shard).padStart(5, '0')}.safetensors`);
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
  return start !== undefined && (start.includes(FORMAT) || existsSync(shardFile(folder, 0)));
}

/**
 * Read and check a folder's index.
 * @throws {DatasetError} if it cannot be read; {FormatError} if it is none, or its numbers do not fit together.
 */
export async function readIndex(folder: string): Promise<LatentsIndex> {
  const path = join(folder, INDEX_FILE);
  try {
    if ((await stat(path)).size <= LARGEST_INDEX) return parseIndex(await readFile(path, 'utf8'), path);
  } catch (cause) {
    if (cause instanceof FormatError) throw cause;
    if ((cause as NodeJS.ErrnoException).code === 'ENOENT') {
      throw new DatasetError(`${path}: does not exist; make a set of latents with acdit encode`, { cause });
    }
    throw new DatasetError(`${path}: cannot be read (${(cause as Error).message})`, { cause });
  }
  throw new FormatError(`${path}: is far too large for an index of latents`);
}

/** @throws {FormatError} if it is not an index, or its numbers do not fit together. */
export function parseIndex(text: string, name: string): LatentsIndex {
  const { checksum: sum, ...index } = parseJsonOf(
    text,
    name,
    storedSchema,
    `not an index of latents (version ${EARLIER_VERSION} or ${VERSION})`,
    FormatError,
  );
  const problem = inconsistency(index);
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

function inconsistency(index: LatentsIndex): string | undefined {
  const { latentShape, shards } = index;
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

/** Replace a folder's index as a whole. */
export async function writeIndex(folder: string, index: LatentsIndex): Promise<void> {
  await writeFileAtomically(join(folder, INDEX_FILE), async (write) => {
    await write(new TextEncoder().encode(formatIndex(index)));
  });
}
