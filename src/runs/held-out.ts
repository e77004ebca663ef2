/** @file Notes about samples that are held out from one run, but not from another that it is compared with, or begins with. */

import { dirname, resolve } from 'node:path';
import { isDeepStrictEqual } from 'node:util';
import { isRecord } from '../io/json.ts';
import { printable } from '../io/printable.ts';
import { readRunRecord, recipeOfRun } from './run-record.ts';

/** What a recipe holds out of its data. */
interface HeldOut {
  readonly path?: unknown;
  readonly holdOut?: unknown;
  readonly holdOutSeed?: unknown;
  /** Part of what files are held out by. */
  readonly classNames?: unknown;
}

/** Returns a note if a run holds out other samples than the run whose recipe it began with. */
export async function changedHoldOutNote(from: string, data: HeldOut): Promise<string | undefined> {
  const before = dataOf(await recipeOfRun(from));
  const [then, now] = [describe(before), describe(data)];
  if (then !== now) {
    return `data.holdOut was ${then} in ${printable(from)} and is now ${now}, so the validation losses of the two runs are not comparable`;
  }
  if (data.holdOut === undefined || isDeepStrictEqual(before.classNames, data.classNames)) return undefined;
  return (
    `data.classNames is not that of ${printable(from)}, and files are held out by their classes' names, so the validation ` +
    'losses of the two runs may not be comparable'
  );
}

/**
 * Returns a note if a model that a training begins with may have been trained on samples that the training holds out.
 * @param model the folder of a run, or of a model that a run has kept; others are not known
 */
export async function seenSamplesNote(model: string, data: HeldOut): Promise<string | undefined> {
  if (data.holdOut === undefined) return undefined;
  const folders = [model, dirname(model), dirname(dirname(model))];
  for (const folder of folders) {
    const record = await readRunRecord(folder).catch(() => undefined);
    if (!record) continue;
    // A recipe that cannot be used here, such as one that names a module, tells nothing.
    const recipe = await recipeOfRun(folder).catch(() => undefined);
    if (!recipe) return undefined;
    const before = dataOf(recipe);
    const isOtherData = resolve(String(before.path)) !== resolve(String(data.path));
    // A share holds out all samples that a smaller one holds out.
    const { holdOut = 0, holdOutSeed = 0, classNames } = before;
    const isCovered =
      Number(holdOut) >= Number(data.holdOut) &&
      holdOutSeed === (data.holdOutSeed ?? 0) &&
      isDeepStrictEqual(classNames, data.classNames);
    if (isOtherData || isCovered) return undefined;
    return (
      `training.initFrom ${printable(model)} was trained with data.holdOut ${describe(before)}, so it may have seen samples that ` +
      'are held out now, and losses of validation may be too low'
    );
  }
  return undefined;
}

function dataOf({ data }: Readonly<Record<string, unknown>>): HeldOut {
  return isRecord(data) ? data : {};
}

function describe({ holdOut, holdOutSeed }: HeldOut): string {
  if (holdOut === undefined) return 'not given';
  const seed = holdOutSeed === undefined || holdOutSeed === 0 ? '' : ` (seed ${printable(holdOutSeed)})`;
  return printable(holdOut) + seed;
}
