/** @file The fuzzer's targets: readers of foreign data, with damaged input for them. */

import { createHash } from 'node:crypto';
import { FormatError } from '../../src/errors.ts';
import { damagedBytes, damagedJson } from './damage.ts';
import type { Random } from './random.ts';

/** A reader of foreign data. */
export interface Target {
  readonly name: string;
  /**
   * Makes a case by random numbers and reads it.
   * @returns the problem, if there is one
   * @throws the reader's errors; only those of the package are right
   */
  run(random: Random): Promise<string | undefined>;
  /** Reads the undamaged input. @throws if that fails, or if a file is read without its end although it needs it */
  whole(): Promise<void>;
  close?(): Promise<void>;
}

/** A valid file. */
export interface Sample {
  readonly bytes: Uint8Array;
  /** Returns the file with damage inside its contents, such as under compression or a checksum. */
  readonly inside?: (random: Random) => Uint8Array | Promise<Uint8Array>;
}

/** How a file is read. */
export interface FileReading {
  readonly name: string;
  readonly samples: readonly Sample[];
  /** Reads everything in a file. Returns its values, if they should be compared. */
  read(bytes: Uint8Array, sample: Sample): Promise<readonly unknown[] | undefined>;
  /** The file has checksums: values read from a damaged file are among those of the intact one. */
  readonly checksummed?: boolean;
  /** A file that is cut anywhere is refused. */
  readonly endNeeded?: boolean;
}

/** Places at which a file is cut. */
const CUTS = 100;

/** Makes a target of a reader of files. */
export function fileTarget({
  name,
  samples,
  read,
  checksummed = false,
  endNeeded = false,
}: FileReading): Target {
  const known = new Map<Sample, ReadonlySet<string>>();
  const digests = async (bytes: Uint8Array, sample: Sample): Promise<readonly string[]> =>
    ((await read(bytes, sample)) ?? []).map(digest);
  const expected = async (sample: Sample): Promise<ReadonlySet<string>> => {
    const found = known.get(sample) ?? new Set(await digests(sample.bytes, sample));
    known.set(sample, found);
    return found;
  };
  const requireEnd = async (sample: Sample): Promise<void> => {
    const { bytes } = sample;
    for (let at = 0; at < bytes.length; at += Math.ceil(bytes.length / CUTS)) {
      const error = await read(bytes.slice(0, at), sample).then(
        () => new Error(`is read although it is cut at ${at}`),
        (reason) => reason,
      );
      if (!(error instanceof FormatError)) throw error;
    }
  };
  return {
    name,
    async run(random) {
      const sample = random.pick(samples);
      const intended = sample.inside !== undefined && random.oneIn(2);
      const bytes = intended ? await sample.inside!(random) : damagedBytes(sample.bytes, random);
      if (!checksummed || intended) {
        await read(bytes, sample);
        return undefined;
      }
      const whole = await expected(sample);
      const other = (await digests(bytes, sample)).some((value) => !whole.has(value));
      return other ? 'damage gave other values, though there are checksums' : undefined;
    },
    async whole() {
      for (const sample of samples) {
        await expected(sample);
        if (endNeeded) await requireEnd(sample);
      }
    },
  };
}

/** A sample of JSON. */
export function jsonSample(value: unknown): Sample {
  const text = typeof value === 'string' ? value : JSON.stringify(value);
  return { bytes: new Uint8Array(Buffer.from(text)), inside: (random) => damagedJson(text, random) };
}

function digest(value: unknown): string {
  const hash = createHash('sha1');
  if (ArrayBuffer.isView(value))
    hash.update(new Uint8Array(value.buffer, value.byteOffset, value.byteLength));
  else
    hash.update(JSON.stringify(value, (_, item) => (typeof item === 'bigint' ? String(item) : item)) ?? '');
  return hash.digest('hex');
}
