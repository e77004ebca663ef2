/**
 * @file Models that a run keeps besides the newest: those of its last checkpoints, and the best by a score. Each is a model
 * folder in `checkpoints`; it is complete as soon as it has its name, and `best.json` names one that exists.
 */

import { copyFile, link, readdir, readFile, rename, rm, symlink } from 'node:fs/promises';
import { join } from 'node:path';
import { z } from 'zod';
import { CONFIG_FILE, WEIGHTS_FILE } from '../checkpoints/load.ts';
import { saveModel } from '../checkpoints/save.ts';
import { CheckpointError } from '../errors.ts';
import { makeFolders, writeFolderAtomically, writeJsonAtomically } from '../io/atomic-write.ts';
import { isFile } from '../io/file-source.ts';
import { parseJsonOf } from '../io/json.ts';
import type { AcditConfig } from '../models/acdit/config.ts';
import type { Weights } from '../models/acdit/weights.ts';
import { modelStep } from './checkpoint.ts';

/** Folder of the kept models, in a run's folder. */
export const CHECKPOINTS_FOLDER = 'checkpoints';
/** Record of the best model, in a run's folder. */
export const BEST_FILE = 'best.json';
/** Link to the best model, in a run's folder, where the file system has links. */
export const BEST_LINK = 'best';

const NAME = /^step-(\d+)$/;

/** Which models a run keeps. */
export interface Keeping {
  /** How many of the newest. */
  readonly keep: number;
  /** Whether the best one is kept too. */
  readonly best: boolean;
  /** Step of the last checkpoint. */
  readonly saved: number;
}

const oneSchema = z.object({
  metric: z.string(),
  value: z.number(),
  step: z.int().nonnegative(),
  model: z.string(),
});

/** The best one, and the best of the steps up to the last checkpoint, to which a run that is killed goes back. */
const bestSchema = oneSchema.extend({ previous: oneSchema.optional() });

/** The best model so far, and what makes it that. */
export type Best = z.infer<typeof bestSchema>;

/** Reads the record of the best model; undefined if there is none. @throws {CheckpointError} if it is damaged */
export async function readBest(folder: string): Promise<Best | undefined> {
  const path = join(folder, BEST_FILE);
  if (!(await isFile(path))) return undefined;
  const advice = 'not a record of the best model; remove it, and the next score begins a new one';
  return parseJsonOf(await readFile(path, 'utf8'), path, bestSchema, advice, CheckpointError);
}

/** Drops models of steps that a resumed run takes again, and what a kill left. */
export async function dropModelsAfter(folder: string, step: number): Promise<void> {
  const checkpoints = join(folder, CHECKPOINTS_FOLDER);
  for (const name of await readdir(checkpoints).catch(() => [])) {
    const isLater = Number(NAME.exec(name)?.[1]) > step;
    if (isLater || name.startsWith('.')) await remove(checkpoints, name);
  }
  const best = await readBest(folder);
  if (!best || best.step <= step) return;
  const { previous } = best;
  if (previous && previous.step <= step && (await isFile(join(folder, previous.model, CONFIG_FILE)))) {
    await writeBest(folder, previous);
    return;
  }
  await rm(join(folder, BEST_FILE), { force: true });
  await rm(join(folder, BEST_LINK), { force: true });
}

/** Keeps the model of a run's folder if it is that of the step. Its files are linked where the file system has links. */
export async function keepModel(folder: string, step: number): Promise<void> {
  if ((await modelStep(folder)) !== String(step)) return; // the run goes back to a state before a damaged one
  await makeModel(folder, step, async (made) => {
    for (const name of [WEIGHTS_FILE, CONFIG_FILE]) {
      const [from, to] = [join(folder, name), join(made, name)];
      await link(from, to).catch(() => copyFile(from, to));
    }
  });
}

/**
 * Keeps a model as the best one so far.
 * @param saved step of the last checkpoint
 */
export async function keepBest(
  folder: string,
  config: AcditConfig,
  weights: Weights,
  { metric, value, step }: Pick<Best, 'metric' | 'value' | 'step'>,
  saved: number,
): Promise<Best> {
  await makeModel(folder, step, (made) =>
    saveModel(made, config, weights, { metadata: { step: String(step) } }),
  );
  const before = await readBest(folder);
  const isSame = before?.metric === metric;
  const previous = !isSame ? undefined : before.step <= saved ? oneSchema.parse(before) : before.previous;
  const model = `${CHECKPOINTS_FOLDER}/${nameOf(step)}`;
  const best: Best = { metric, value, step, model, ...(previous && { previous }) };
  await writeBest(folder, best);
  return best;
}

async function writeBest(folder: string, best: Best): Promise<void> {
  await writeJsonAtomically(join(folder, BEST_FILE), best);
  const temporary = join(folder, `.${BEST_LINK}.tmp`);
  await rm(temporary, { force: true });
  // A convenience: some file systems have no links.
  await symlink(best.model, temporary, 'dir')
    .then(() => rename(temporary, join(folder, BEST_LINK)))
    .catch(() => {});
}

/** Removes models that are neither among the newest nor the best. */
export async function pruneModels(folder: string, { keep, best, saved }: Keeping): Promise<void> {
  const checkpoints = join(folder, CHECKPOINTS_FOLDER);
  const found = best ? await readBest(folder) : undefined;
  const bestSteps = found ? [found.step, ...(found.step > saved ? [found.previous?.step] : [])] : [];
  const names = (await readdir(checkpoints).catch(() => [])).filter((name) => NAME.test(name));
  const newest = names.toSorted((a, b) => stepOf(b) - stepOf(a)).slice(0, keep);
  for (const name of names) {
    if (!newest.includes(name) && !bestSteps.includes(stepOf(name))) await remove(checkpoints, name);
  }
}

async function makeModel(
  folder: string,
  step: number,
  produce: (made: string) => Promise<void>,
): Promise<void> {
  const path = join(folder, CHECKPOINTS_FOLDER, nameOf(step));
  if (await isFile(join(path, CONFIG_FILE))) return;
  await makeFolders(join(folder, CHECKPOINTS_FOLDER));
  await writeFolderAtomically(path, produce);
}

/** Removes a folder whose name is gone at once, so that a kill leaves no half of it. */
async function remove(checkpoints: string, name: string): Promise<void> {
  const hidden = name.startsWith('.') ? name : `.${name}.removed`;
  if (hidden !== name) await rename(join(checkpoints, name), join(checkpoints, hidden));
  await rm(join(checkpoints, hidden), { recursive: true, force: true });
}

function nameOf(step: number): string {
  return `step-${String(step).padStart(8, '0')}`;
}

function stepOf(name: string): number {
  return Number(NAME.exec(name)?.[1]);
}
