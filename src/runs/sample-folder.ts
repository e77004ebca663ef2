/**
 * @file The folder that `acdit sample` writes to. A run continues the numbering of the samples there. A record in the folder
 * names the numbers of each run, and the process of a run in progress, so two concurrent runs never write the same file.
 */

import { readdir, readFile, rm, rmdir } from 'node:fs/promises';
import { join } from 'node:path';
import { z } from 'zod';
import { attempt } from '../attempt.ts';
import { ArgumentError } from '../errors.ts';
import { makeFolders, writeTextAtomically } from '../io/atomic-write.ts';
import { closingAfter } from '../io/byte-source.ts';
import { type LockOptions, takeLock } from '../io/lock.ts';
import { processIdentitySchema, stateOf, thisProcess } from '../io/process-identity.ts';
import { FRAME_NAME } from '../media/video-writer.ts';

/** The files of one run. */
export type SampleFolder = Awaited<ReturnType<typeof openSampleFolder>>;

/** The number that a sample's name begins with. A name with more digits is not a sample's. */
const NUMBERED = /^(\d{3,12})-/;
/** Files of the runs: samples of any format, and folders of frames. */
const SAMPLE = /^\d{3,12}-[\p{L}\p{N}-]+(?:\.(?:png|mp4|webp|gif))?$/u;
/** The grid and latents of the first run, and of later ones. */
const RUN_FILE = /^(?:grid|latents)(?:-(\d{1,12}))?\.(?:png|npy)$/;

/** The record of the runs in a folder. */
const RECORD = '.acdit-samples.json';
const runSchema = z.object({
  /** Numbers of its samples, from `first` up to `end`. */
  first: z.int().nonnegative(),
  end: z.int().nonnegative(),
  /** Number of the run in its folder, from 1. */
  run: z.int().positive(),
  /** The process that is sampling; absent once the run has ended. */
  owner: processIdentitySchema.optional(),
});
const recordSchema = z.array(runSchema);
type Run = z.infer<typeof runSchema>;

/**
 * Makes the folder if it does not exist, and reserves numbers for `count` samples in it. With `overwrite`, samples, grids and
 * latents of earlier runs are removed, but only files that the record names as theirs.
 * @throws {ArgumentError} if it is to be overwritten while another process samples into it.
 * @throws {AcditError} if it cannot be written.
 */
export async function openSampleFolder(
  path: string,
  { count, overwrite, signal }: LockOptions & { readonly count: number; readonly overwrite: boolean },
) {
  await makeFolders(path);
  const own = await withRecord(path, { signal }, async (runs) => {
    if (overwrite) await removeRuns(path, runs);
    const kept = overwrite ? [] : runs;
    const names = overwrite ? [] : await readdir(path);
    const active = kept.filter(({ owner }) => owner);
    const first = Math.max(0, ...names.map(numberAfter), ...active.map(({ end }) => end));
    const run = 1 + Math.max(0, ...names.map(runOf), ...active.map((other) => other.run));
    const own: Run = { first, end: first + count, run, owner: await thisProcess() };
    return { runs: [...kept, own], result: own };
  });
  const suffix = own.run === 1 ? '' : `-${own.run}`;
  return {
    /** Returns the path of a sample's file, without the ending. @param sample number in the run, from 0 */
    stem: (sample: number, name: string): string => join(path, fileStem(own.first + sample, name)),
    /** The file of the grid. */
    grid: join(path, `grid${suffix}.png`),
    /** The file of the latents, unless another is named. */
    latents: join(path, `latents${suffix}.npy`),
    /** Records that the run has ended. */
    release: (): Promise<void> =>
      withRecord(path, {}, async (runs) => {
        const { owner: _, ...ended } = own;
        return { runs: runs.map((run) => (run.first === own.first ? ended : run)), result: undefined };
      }),
  };
}

/** Changes a folder's record while no other process does. Runs whose process has ended are given without an owner. */
async function withRecord<Result>(
  folder: string,
  options: LockOptions,
  change: (runs: readonly Run[]) => Promise<{ readonly runs: readonly Run[]; readonly result: Result }>,
): Promise<Result> {
  return closingAfter(await takeLock(join(folder, '.acdit-sample.lock'), options), async () => {
    const path = join(folder, RECORD);
    const text = await readFile(path, 'utf8').catch(() => '');
    // One that is damaged counts as empty, so that nothing is removed by it.
    const before = recordSchema.safeParse(attempt(() => JSON.parse(text), undefined)).data ?? [];
    const { runs, result } = await change(await Promise.all(before.map(withoutEndedOwner)));
    await writeTextAtomically(path, `${JSON.stringify(runs)}\n`);
    return result;
  });
}

async function withoutEndedOwner({ owner, ...run }: Run): Promise<Run> {
  return owner && (await stateOf(owner)) !== 'ended' ? { ...run, owner } : run;
}

/** Returns the name of a sample's file without the ending: `007-t-shirt-top`. */
function fileStem(number: number, name: string): string {
  const slug = name
    .toLowerCase()
    .replace(/[^\p{L}\p{N}]+/gu, '-')
    .replace(/^-+|-+$/g, '');
  return `${String(number).padStart(3, '0')}-${slug.slice(0, 80) || 'sample'}`;
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

/** Removes the files of earlier runs. */
async function removeRuns(folder: string, runs: readonly Run[]): Promise<void> {
  const active = runs.find(({ owner }) => owner)?.owner;
  if (active) {
    throw new ArgumentError(
      `process ${active.pid} on ${active.host} is sampling into ${folder}; wait for it, or give another folder with --out`,
    );
  }
  const isRuns = (name: string): boolean => {
    const number = numberAfter(name) - 1;
    const isSample = SAMPLE.test(name) && runs.some(({ first, end }) => first <= number && number < end);
    return isSample || runs.some(({ run }) => run === runOf(name));
  };
  for (const entry of await readdir(folder, { withFileTypes: true })) {
    const path = join(folder, entry.name);
    if (!isRuns(entry.name)) continue;
    if (entry.isDirectory()) await removeFrames(path);
    else if (entry.isFile()) await rm(path);
  }
}

/** Remove a folder of frames; if it contains anything else, only the frames. */
async function removeFrames(folder: string): Promise<void> {
  for (const name of await readdir(folder)) if (FRAME_NAME.test(name)) await rm(join(folder, name));
  await rmdir(folder).catch(() => {});
}
