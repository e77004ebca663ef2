/** @file The folder of a training run: what the run may replace, and a lock against a second run. */

import { existsSync } from 'node:fs';
import { rm } from 'node:fs/promises';
import { join } from 'node:path';
import { CONFIG_FILE, TRAINER_FOLDER, WEIGHTS_FILE } from '../checkpoints/load.ts';
import { ArgumentError } from '../errors.ts';
import { makeFolders } from '../io/atomic-write.ts';
import { closingOnError } from '../io/byte-source.ts';
import { type Lock, lockFolder } from '../io/lock.ts';
import { stateFiles } from './checkpoint.ts';
import { EVALUATIONS_FILE } from './evaluation-series.ts';
import { BEST_FILE, BEST_LINK, CHECKPOINTS_FOLDER } from './kept-models.ts';
import { METRICS_FILE, TENSORBOARD_FOLDER } from './logging/open.ts';

/** Folder of sample grids, in a run's folder. */
export const SAMPLES_FOLDER = 'samples';

/** Record of a run in its folder: its recipe, and how it was started. */
export const RUN_RECORD_FILE = 'run.json';

/** What a run writes into its folder. */
const RUN_FILES = [
  TRAINER_FOLDER,
  METRICS_FILE,
  EVALUATIONS_FILE,
  TENSORBOARD_FOLDER,
  SAMPLES_FOLDER,
  WEIGHTS_FILE,
  CONFIG_FILE,
  RUN_RECORD_FILE,
  CHECKPOINTS_FOLDER,
  BEST_FILE,
  BEST_LINK,
];

/** Options for starting a run in its folder. */
export interface RunStart {
  /** Start at step 0 instead of resuming. */
  readonly fresh?: boolean;
  /** With `fresh`: remove the run or the model that the folder holds. */
  readonly overwrite?: boolean;
}

/**
 * Checks that a run may begin or resume in a folder. Nothing is changed.
 * @throws {ArgumentError} if the run would replace what is there.
 */
export async function requireRunFolder(folder: string, { fresh, overwrite }: RunStart): Promise<void> {
  const present = RUN_FILES.filter((name) => existsSync(join(folder, name)));
  if (present.length === 0 || (fresh && overwrite)) return;
  if (fresh) {
    throw new ArgumentError(
      `${folder} already holds a run (${present[0]}); give another folder with --out, resume the run by leaving --fresh ` +
        'out, or discard it with --fresh --overwrite',
    );
  }
  if (await canResume(folder, present)) return;
  throw new ArgumentError(
    `${folder} holds ${present[0]} but no training state, so it is not a run that can be resumed; give another folder ` +
      'with --out, or discard what it holds with --fresh --overwrite',
  );
}

/** A run that was stopped before its first checkpoint has an empty trainer folder and no model. */
async function canResume(folder: string, present: readonly string[]): Promise<boolean> {
  if (!present.includes(TRAINER_FOLDER)) return false;
  return !present.includes(WEIGHTS_FILE) || (await stateFiles(join(folder, TRAINER_FOLDER))).length > 0;
}

/**
 * Makes a run's folder, or takes it over, and locks it.
 * @param onWait called if it takes a while to find out whether another process, which is named, still trains there.
 * @throws {ArgumentError} if another process trains there, or the run would replace what is there.
 */
export async function lockRunFolder(
  folder: string,
  start: RunStart,
  signal: AbortSignal | undefined,
  onWait: (owner: string) => void,
): Promise<Lock> {
  await requireRunFolder(folder, start);
  await makeFolders(folder);
  const lock = await lockFolder(folder, { signal, onWait });
  await closingOnError(lock, () => requireRunFolder(folder, start));
  return lock;
}

/** Removes what a fresh start discards, and marks the folder as that of a run. */
export async function beginRun(folder: string, { fresh }: RunStart): Promise<void> {
  if (fresh) for (const name of RUN_FILES) await rm(join(folder, name), { recursive: true, force: true });
  await makeFolders(join(folder, TRAINER_FOLDER));
}
