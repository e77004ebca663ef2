/**
 * @file The folder that `acdit sample` writes to. A run continues the numbering of the samples there. It reserves its
 * numbers with a file that names its process, so two concurrent runs never write the same file.
 */

import { randomUUID } from 'node:crypto';
import { readdir, readFile, rm, rmdir } from 'node:fs/promises';
import { join } from 'node:path';
import { z } from 'zod';
import { ArgumentError } from '../errors.ts';
import { makeFolders, writeFileAtomically } from '../formats/atomic-write.ts';
import { takeLock } from '../formats/lock.ts';
import { processIdentitySchema, stateOf, thisProcess } from '../formats/process-identity.ts';
import { FRAME_NAME } from '../media/video-writer.ts';

/** The files of one run. */
export interface SampleFolder {
  readonly path: string;
  /** Number of the run's first sample. */
  readonly first: number;
  /** The file of the grid. */
  readonly grid: string;
  /** The file of the latents, unless another is named. */
  readonly latents: string;
  /** Releases the numbers that were not used. */
  release(): Promise<void>;
}

export interface SampleFolderOptions {
  /** Samples of the run. */
  readonly count: number;
  /** Replace the samples, grids and latents of earlier runs. */
  readonly overwrite: boolean;
  readonly signal: AbortSignal;
}

/** The number that a sample's name begins with. A name with more digits is not a sample's. */
const NUMBERED = /^(\d{3,12})-/;
/** Files of the runs: samples of any format, and folders of frames. */
const SAMPLE = /^\d{3,12}-[\p{L}\p{N}-]+(?:\.(?:png|mp4|webp|gif))?$/u;
/** The grid and latents of the first run, and of later ones. */
const RUN_FILE = /^(?:grid|latents)(?:-(\d{1,12}))?\.(?:png|npy)$/;

const RESERVATION = /^\.acdit-run-[\w-]+\.json$/;
const reservationSchema = z.object({
  owner: processIdentitySchema,
  /** The number after the run's last. */
  end: z.int().nonnegative(),
  /** Number of the run in its folder, from 1. */
  run: z.int().positive(),
});
type Reservation = z.infer<typeof reservationSchema>;

/**
 * Makes the folder if it does not exist, and reserves numbers in it.
 * @throws {ArgumentError} if it is to be overwritten while another process samples into it.
 * @throws {AcditError} if it cannot be written.
 */
export async function openSampleFolder(
  path: string,
  { count, overwrite, signal }: SampleFolderOptions,
): Promise<SampleFolder> {
  await makeFolders(path);
  const lock = await takeLock(join(path, '.acdit-sample.lock'), { signal });
  try {
    const others = await reservations(path);
    if (overwrite) await removeRuns(path, others);
    const names = await readdir(path);
    const first = Math.max(0, ...names.map(numberAfter), ...others.map(({ end }) => end));
    const run = 1 + Math.max(0, ...names.map(runOf), ...others.map((other) => other.run));
    const reservation = join(path, `.acdit-run-${randomUUID()}.json`);
    const content: Reservation = { owner: await thisProcess(), end: first + count, run };
    await writeFileAtomically(reservation, (write) => write(Buffer.from(JSON.stringify(content))));
    const suffix = run === 1 ? '' : `-${run}`;
    return {
      path,
      first,
      grid: join(path, `grid${suffix}.png`),
      latents: join(path, `latents${suffix}.npy`),
      release: () => rm(reservation, { force: true }),
    };
  } finally {
    await lock.release();
  }
}

/** Returns the folder of a run that writes nothing into it; it is not made. */
export function unusedSampleFolder(path: string): SampleFolder {
  const [grid, latents] = [join(path, 'grid.png'), join(path, 'latents.npy')];
  return { path, first: 0, grid, latents, release: async () => {} };
}

/** Returns the number after a sample's; 0 for other files. */
function numberAfter(name: string): number {
  const number = NUMBERED.exec(name)?.[1];
  return number === undefined ? 0 : Number(number) + 1;
}

/** Returns the run that a grid or latents belong to; 0 for other files. */
function runOf(name: string): number {
  const match = RUN_FILE.exec(name);
  return match ? Number(match[1] ?? 1) : 0;
}

/** Returns the reservations of other runs, and removes those of processes that have ended. */
async function reservations(folder: string): Promise<Reservation[]> {
  const found: Reservation[] = [];
  for (const name of (await readdir(folder)).filter((name) => RESERVATION.test(name))) {
    const path = join(folder, name);
    const reservation = parseReservation(await readFile(path, 'utf8').catch(() => ''));
    if (reservation && (await stateOf(reservation.owner)) !== 'ended') found.push(reservation);
    else await rm(path, { force: true });
  }
  return found;
}

function parseReservation(text: string): Reservation | undefined {
  try {
    return reservationSchema.safeParse(JSON.parse(text)).data;
  } catch {
    return undefined;
  }
}

/** Remove the files of earlier runs. */
async function removeRuns(folder: string, others: readonly Reservation[]): Promise<void> {
  if (others.length > 0) {
    const { host, pid } = others[0].owner;
    throw new ArgumentError(
      `process ${pid} on ${host} is sampling into ${folder}; wait for it, or give another folder with --out`,
    );
  }
  for (const entry of await readdir(folder, { withFileTypes: true })) {
    const path = join(folder, entry.name);
    if (entry.isDirectory() && SAMPLE.test(entry.name)) await removeFrames(path);
    else if (entry.isFile() && (SAMPLE.test(entry.name) || runOf(entry.name) > 0)) await rm(path);
  }
}

/** Remove a folder of frames; if it contains anything else, only the frames. */
async function removeFrames(folder: string): Promise<void> {
  for (const name of await readdir(folder)) if (FRAME_NAME.test(name)) await rm(join(folder, name));
  await rmdir(folder).catch(() => {});
}
