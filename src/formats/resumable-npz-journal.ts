/**
 * @file The journal of an unfinished `.npz` file (Node only): what its rows are made with, how many are safe on the disk,
 * and checksums of them at several places, so that damage costs the rows after it and no others.
 */

import { readFile } from 'node:fs/promises';
import { z } from 'zod';
import { at } from '../at.ts';
import { FormatError } from '../errors.ts';
import { writeTextAtomically } from '../io/atomic-write.ts';
import { parseJson, parseJsonOf } from '../io/json.ts';
import { checksum } from './zip-writer.ts';

/** The settings that an array is made with, by names that users know. Writing resumes only with the same settings. */
export type Origin = Readonly<Record<string, unknown>>;

const markSchema = z.object({ rows: z.int().min(0), crc: z.int().min(0) });
const journalSchema = z.object({
  origin: z.record(z.string(), z.unknown()),
  marks: z.array(markSchema).min(1),
  checksum: z.int().min(0),
});
/** The journal of an earlier version: one mark, and no checksum of the journal itself. */
const earlierSchema = z.strictObject({ origin: journalSchema.shape.origin, ...markSchema.shape });

/** The CRC-32 of the array's file in the archive, up to a row. */
export type Mark = Readonly<z.infer<typeof markSchema>>;

export interface Journal {
  readonly origin: Origin;
  /** In order; the last one says how many rows are safe. */
  readonly marks: readonly Mark[];
}

/** Damage costs about this share of a long file's rows, or less. */
const MAX_MARKS = 128;

/** Appends a mark. If there are too many, drops the one whose neighbours are closest to each other. */
export function withMark(marks: readonly Mark[], mark: Mark): readonly Mark[] {
  const all = [...marks.filter(({ rows }) => rows < mark.rows), mark];
  if (all.length <= MAX_MARKS) return all;
  const gapWithout = (i: number): number => at(all, i + 1).rows - (all[i - 1]?.rows ?? 0);
  let dropped = 0;
  for (let i = 1; i < all.length - 1; i++) if (gapWithout(i) < gapWithout(dropped)) dropped = i;
  return all.filter((_, i) => i !== dropped);
}

/**
 * Reads a journal; undefined if there is none.
 * @param remedy what the message about a damaged one advises.
 * @param warn gets a line if it is of an earlier version.
 * @throws {FormatError} if it is damaged
 */
export async function readJournal(
  path: string,
  remedy: string,
  warn: (message: string) => void,
): Promise<Journal | undefined> {
  const text = await readFile(path, 'utf8').catch((error: NodeJS.ErrnoException) => {
    if (error.code === 'ENOENT') return undefined;
    throw error;
  });
  if (text === undefined) return undefined;
  const { data: earlier } = earlierSchema.safeParse(parseJson(text, path, FormatError));
  if (earlier) {
    warn(
      `${path}: an earlier version wrote it, without a checksum of the settings, so damage to them would not be noticed`,
    );
    return { origin: earlier.origin, marks: [{ rows: earlier.rows, crc: earlier.crc }] };
  }
  const otherwise = `not the journal of an unfinished file; ${remedy}`;
  const { origin, marks, checksum: sum } = parseJsonOf(text, path, journalSchema, otherwise, FormatError);
  if (sum !== journalChecksum({ origin, marks })) {
    throw new FormatError(`${path}: the journal is damaged: its checksum is wrong; ${remedy}`);
  }
  return { origin, marks };
}

/** Replaces a journal as a whole. */
export async function writeJournal(path: string, { origin, marks }: Journal): Promise<void> {
  const journal = { origin, marks, checksum: journalChecksum({ origin, marks }) };
  await writeTextAtomically(path, `${JSON.stringify(journal)}\n`);
}

function journalChecksum({ origin, marks }: Journal): number {
  return checksum(new TextEncoder().encode(JSON.stringify([origin, marks])));
}
