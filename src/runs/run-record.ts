/**
 * @file The record of a run, `run.json` in its folder: the recipe with all defaults and overrides, and for each start the
 * command, the versions, the processor and the data. `acdit train --from` starts another run from it.
 */

import { existsSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { arch, platform } from 'node:os';
import { join, resolve } from 'node:path';
import { z } from 'zod';
import { TRAINER_FOLDER } from '../checkpoints/load.ts';
import { ArgumentError, CheckpointError } from '../errors.ts';
import { writeJsonAtomically } from '../io/atomic-write.ts';
import { isFile } from '../io/file-source.ts';
import { parseJsonOf } from '../io/json.ts';
import { printable } from '../io/printable.ts';
import { isModulePath } from '../models/acdit/attention.ts';
import { packageVersion } from '../package-version.ts';
import { processor } from '../runtime/machine.ts';
import { onnxRuntimeVersion } from '../runtime/node.ts';
import { newestSettings } from '../training/checkpoint.ts';
import { isSplit, parseSettings, type Recipe, type RecipeSettings } from '../training/recipe.ts';
import { RUN_RECORD_FILE } from '../training/run-folder.ts';

const startSchema = z.looseObject({
  /** Optimizer steps done before. */
  step: z.int().nonnegative(),
  /** When, as an ISO 8601 text. */
  time: z.string(),
  /** The command line, if it was one. */
  command: z.array(z.string()).optional(),
  /** Folder that relative paths are relative to. */
  workingFolder: z.string(),
  /** Changes of the recipe since the start before. */
  changes: z.array(z.string()).optional(),
  /** Size and fingerprint of the data. */
  data: z.looseObject({ samples: z.int(), fingerprint: z.string() }),
});

const recordSchema = z.looseObject({
  format: z.literal('acdit-run'),
  version: z.literal(1),
  recipe: z.record(z.string(), z.record(z.string(), z.unknown())),
  starts: z.array(startSchema).min(1),
});

/** What a run's folder records of it. */
export type RunRecord = z.infer<typeof recordSchema>;

/** How a run is started. */
export interface RunStartFacts {
  readonly step: number;
  readonly recipe: Recipe;
  readonly command: readonly string[] | undefined;
  readonly device: string;
  readonly threads: number;
  /** Processes that train together. */
  readonly ranks: number;
  readonly data: { readonly samples: number; readonly fingerprint: string };
}

/** What a start found in the record. */
export interface RecordedStart {
  /** Whether the run had no record: an earlier version began it, or it was converted from PyTorch. */
  readonly isNew: boolean;
  /** The data of the start before, if it was different. */
  readonly otherData?: { readonly samples: number; readonly fingerprint: string };
}

/**
 * Reads the record of a run; undefined if there is none.
 * @throws {CheckpointError} if it is damaged
 */
export async function readRunRecord(folder: string): Promise<RunRecord | undefined> {
  const path = join(folder, RUN_RECORD_FILE);
  if (!(await isFile(path))) return undefined;
  const advice = 'not the record of a run; restore a copy, or remove it, and the run begins a new one';
  return parseJsonOf(await readFile(path, 'utf8'), path, recordSchema, advice, CheckpointError);
}

/**
 * Adds a start to the record of a run, whose folder must be locked.
 * @throws {CheckpointError} if the record is damaged; {AcditError} if it cannot be written.
 */
export async function recordStart(folder: string, facts: RunStartFacts): Promise<RecordedStart> {
  const { step, recipe, command, device, threads, ranks, data } = facts;
  const before = await readRunRecord(folder);
  const changes = before ? recipeDifferences(before.recipe, recipe) : [];
  const start = {
    step,
    time: new Date().toISOString(),
    ...(command && { command: [...command] }),
    workingFolder: process.cwd(),
    ...(changes.length > 0 && { changes }),
    acdit: packageVersion(),
    node: process.version,
    onnxRuntime: onnxRuntimeVersion,
    system: `${platform()} ${arch()}`,
    processor: processor(),
    device,
    threads,
    ranks,
    data,
  };
  const record = { format: 'acdit-run', version: 1, recipe, starts: [...(before?.starts ?? []), start] };
  await writeJsonAtomically(join(folder, RUN_RECORD_FILE), record);
  const last = before?.starts.at(-1)?.data;
  const isOther = last !== undefined && last.fingerprint !== data.fingerprint;
  return { isNew: before === undefined && step > 0, ...(isOther && { otherData: last }) };
}

/** Lists the keys that differ, as `training.steps was 6 and is now 8`. */
function recipeDifferences(before: RunRecord['recipe'], now: Recipe): string[] {
  const flat = (recipe: Readonly<Record<string, object | undefined>>): Map<string, string> =>
    new Map(
      Object.entries(recipe).flatMap(([section, keys = {}]) =>
        Object.entries(keys).map(([key, value]) => [`${section}.${key}`, JSON.stringify(value)]),
      ),
    );
  const [old, present] = [flat(before), flat(now)];
  const shown = (value: string | undefined): string => printable(value ?? 'not given');
  return [...new Set([...old.keys(), ...present.keys()])]
    .filter((key) => old.get(key) !== present.get(key))
    .map((key) => `${key} was ${shown(old.get(key))} and is now ${shown(present.get(key))}`);
}

/** Returns the settings that a run keeps: those of its newest state or, before the first, of its record. */
export async function recordedSettings(folder: string): Promise<RecipeSettings | undefined> {
  const ofState = await newestSettings(join(folder, TRAINER_FOLDER));
  if (ofState) return ofState;
  const record = await readRunRecord(folder);
  if (!record) return undefined;
  const { model, data, training } = record.recipe;
  return parseSettings({ model, data, training });
}

/**
 * Returns a run's recipe as JSON, without its folder, for another run. Relative paths that the run was started with in
 * another folder become absolute. Of a run begun by an earlier version, it is what its newest state records.
 * @throws {ArgumentError} if the folder is not that of a run, or its recipe is not recorded; {CheckpointError} if the recipe
 * names a module.
 */
export async function recipeOfRun(folder: string): Promise<Record<string, unknown>> {
  const record = await readRunRecord(folder);
  if (!record) {
    const settings = await newestSettings(join(folder, TRAINER_FOLDER));
    if (settings) {
      requireNoModule(settings.model.attention, folder);
      return { ...settings, output: {} };
    }
    throw new ArgumentError(
      `--from ${printable(folder)}: holds neither a ${RUN_RECORD_FILE} nor a state with a recipe; give the folder of a run`,
    );
  }
  requireNoModule(record.recipe.model?.attention, folder);
  const started = record.starts.at(-1)?.workingFolder ?? process.cwd();
  const recipe = structuredClone(record.recipe);
  delete recipe.output?.folder;
  for (const [section, key] of PATH_KEYS) {
    const keys = recipe[section];
    const value = keys?.[key];
    if (keys && typeof value === 'string') keys[key] = pathFrom(started, value);
  }
  return recipe;
}

/**
 * Checks that a recorded recipe runs no code: acdit records the table of a module, so a path was written by somebody else.
 * @throws {CheckpointError} if it names a module
 */
function requireNoModule(attention: unknown, folder: string): void {
  if (!isModulePath(attention)) return;
  throw new CheckpointError(
    `${printable(folder)}: its recorded recipe names the module ${printable(attention)}, which acdit never writes and does ` +
      'not run; give the recipe as a file if you trust the module',
  );
}

/** Keys that may hold paths. */
const PATH_KEYS = [
  ['data', 'path'],
  ['training', 'initFrom'],
  ['output', 'vae'],
  ['evaluation', 'network'],
  ['evaluation', 'reference'],
  ['validation', 'path'],
] as const;

/** A path that a run was given in another folder; names, and paths that mean the same here, stay as they are. */
function pathFrom(folder: string, value: string): string {
  const absolute = resolve(folder, value);
  if (isSplit(value) || absolute === resolve(value)) return value;
  return existsSync(absolute) ? absolute : value;
}
