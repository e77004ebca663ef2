/**
 * @file Parts of a file of samples, each made by a process of its own, and the whole file put together from them. A part is
 * an npz file too, with whole batches of the run and a record of which ones, so the whole file is that of a single run.
 */

import { ArgumentError, FormatError } from '../errors.ts';
import { openNpz } from '../formats/npz.ts';
import { isFinishedNpz, type ResumableArray } from '../formats/resumable-npz.ts';
import type { Origin } from '../formats/resumable-npz-journal.ts';
import { closingAfter } from '../io/byte-source.ts';
import { openFile } from '../io/file-source.ts';
import { type Part, partFile, partsOf, unfinishedParts, WHOLE } from '../io/parts.ts';
import { elementCount } from '../tensor/tensor.ts';

/** Samples `first` up to `end`. */
export interface Range {
  readonly first: number;
  readonly end: number;
}

/** A file of samples that may be divided. */
export interface DividedFile {
  readonly path: string;
  /** The whole array. */
  readonly array: ResumableArray;
  /** What the samples depend on. */
  readonly origin: Origin;
  /** Batch size. Parts begin where batches do, since the company in a batch may change a sample's last bits. */
  readonly batch: number;
}

/** Returns the samples of a part: of B batches those from B (K - 1) / N up to B K / N, rounded down. */
export function rangeOfPart(count: number, batch: number, { number, of }: Part = WHOLE): Range {
  const batches = Math.ceil(count / batch);
  const begin = (part: number): number => Math.min(count, Math.floor((batches * part) / of) * batch);
  return { first: begin(number - 1), end: begin(number) };
}

/** Returns a part as a file of its own; without a part, the whole file. */
export function fileOfPart(file: DividedFile, part: Part | undefined): DividedFile & Range {
  const { path, array, origin, batch } = file;
  const [samples = 0, ...row] = array.shape;
  const range = rangeOfPart(samples, batch, part);
  if (!part) return { ...file, ...range };
  return {
    path: partFile(path, part),
    array: { ...array, shape: [range.end - range.first, ...row] },
    origin: { ...origin, part: `${part.number}/${part.of}`, samples, batch },
    batch,
    ...range,
  };
}

const REMEDY = 'remove it, and run its part again with the same settings';

/** A finished part. */
export type FinishedPart = ReturnType<typeof fileOfPart>;

/**
 * Returns the parts that a file has been divided into, or none if it has not been.
 * @throws {ArgumentError} if one is not finished, was made with other settings, or there are parts of two divisions
 */
export async function finishedParts(file: DividedFile): Promise<FinishedPart[]> {
  const of = (await partsOf(file.path)) ?? 0;
  const parts = Array.from({ length: of }, (_, i) => fileOfPart(file, { number: i + 1, of }));
  const unfinished: number[] = [];
  for (const [i, { path, array, origin }] of parts.entries()) {
    if (!(await isFinishedNpz(path, array, origin, { remedy: REMEDY }))) unfinished.push(i + 1);
  }
  if (unfinished.length === 0) return parts;
  throw new ArgumentError(`cannot combine the parts of ${file.path}: ${unfinishedParts(unfinished, of)}`);
}

/**
 * Hands over a part's rows, a batch at a time, without the first `skipped` ones. All are checked before.
 * @throws {FormatError} if the part is damaged; the signal's reason once it is aborted
 */
export async function copyPart(
  { path, array, batch }: FinishedPart,
  { skipped, signal }: { readonly skipped: number; readonly signal: AbortSignal },
  append: (rows: Uint8Array) => Promise<void>,
): Promise<void> {
  await closingAfter(await openNpz(await openFile(path)), async (npz) => {
    const read = async (handle: (rows: Uint8Array) => Promise<void>): Promise<void> => {
      const stream = await npz.stream(array.name);
      try {
        if (stream.dtype !== array.dtype || stream.shape.join() !== array.shape.join()) {
          throw new FormatError(`${path}: its samples are not those of its record; ${REMEDY}`);
        }
        for await (const { data } of stream.pieces(batch)) {
          signal.throwIfAborted();
          await handle(data as Uint8Array);
        }
      } finally {
        await stream.close();
      }
    };
    await read(async () => {}); // the checksum is known at the end
    let left = skipped * elementCount(array.shape.slice(1));
    await read(async (rows) => {
      const rest = rows.subarray(Math.min(left, rows.length));
      left -= rows.length - rest.length;
      if (rest.length > 0) await append(rest);
    });
  });
}
