/**
 * @file The trainer's state on disk. Everything needed to resume bit for bit is in one safetensors file, written under a
 * temporary name and renamed, so a kill or a full disk at any moment leaves the previous one intact. Its checksums show
 * damage, and the previous state is kept for that case. Random numbers need no saving: each step draws from a generator
 * derived from the seed and the step.
 */

import { existsSync } from 'node:fs';
import { readdir, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { attempt } from '../attempt.ts';
import { CONFIG_FILE, TRAINER_FOLDER, WEIGHTS_FILE } from '../checkpoints/load.ts';
import { type StoredWeights, saveModel } from '../checkpoints/save.ts';
import { CheckpointError, FormatError } from '../errors.ts';
import {
  openChecksummedSafetensors,
  writeChecksummedSafetensors,
} from '../formats/checksummed-safetensors.ts';
import { openSafetensors, type SafetensorsArchive } from '../formats/safetensors.ts';
import type { Metadata } from '../formats/tensor-archive.ts';
import { makeFolders, removeTemporaries } from '../io/atomic-write.ts';
import { closingAfter } from '../io/byte-source.ts';
import { openFile } from '../io/file-source.ts';
import type { AcditConfig } from '../models/acdit/config.ts';
import { checkWeights, parameters, type Weights } from '../models/acdit/weights.ts';
import { toFloat32 } from '../tensor/convert.ts';
import type { Tensor } from '../tensor/tensor.ts';
import { adoptedPosition } from './adopted-state.ts';
import type { BatchesStart } from './noising.ts';
import { type OptimizerState, packed } from './optimizer.ts';
import { parseSettings, type Recipe, type RecipeSettings } from './recipe.ts';
import {
  type ChangeableKey,
  earlierStateNote,
  isEarlierState,
  requireSameRun,
  runMetadata,
} from './same-run.ts';

const FILE_PATTERN = /^step-(\d+)\.safetensors$/;
const PARTS = ['weights', 'ema', 'firstMoments', 'secondMoments'] as const;

/** Training at a point in time. */
export interface TrainingPoint extends BatchesStart {
  readonly state: OptimizerState;
}

/** A state as it is written, all of it or tensors that are read when their turn comes. */
export type StoredState = Readonly<Record<keyof OptimizerState, StoredWeights>>;

/** A point of a training as it is written. */
export interface StoredPoint extends BatchesStart {
  readonly state: StoredState;
}

/** Makes a state of what is stored: part by part, tensor by tensor, in the order of the model's parameters. */
export type StateReader<State> = (
  read: (part: keyof OptimizerState, name: string) => Promise<Tensor<'float32'>>,
) => Promise<State>;

/** The newest one and the one before it. */
const KEPT_STATES = 2;

/** Writes the trainer's state, then the model folder with the EMA weights, then removes all but two states. */
export async function saveTraining(
  folder: string,
  config: AcditConfig,
  recipe: Recipe,
  { step, position, state }: StoredPoint,
): Promise<void> {
  const metadata = { position: String(position), ...runMetadata(config, recipe) };
  await writeState(folder, config, metadata, { step, state });
  await removeRemains(folder, step);
}

/** Writes a state with what is known of its run, then the model folder with the EMA weights. */
export async function writeState(
  folder: string,
  config: AcditConfig,
  metadata: Metadata,
  { step, state }: Pick<StoredPoint, 'step' | 'state'>,
): Promise<void> {
  const trainer = join(folder, TRAINER_FOLDER);
  await makeFolders(trainer);
  const file = `step-${String(step).padStart(8, '0')}.safetensors`;
  const tensors = PARTS.flatMap((part) =>
    [...state[part]].map(([name, value]) => [`${part}.${name}`, value] as const),
  );
  await writeChecksummedSafetensors(join(trainer, file), tensors, { step: String(step), ...metadata });
  await saveModel(folder, config, state.ema, { metadata: { step: String(step) } });
}

/**
 * Completes a save that was killed after it had written the state: a run that resumes from its last step saves nothing
 * else. A damaged newer state stays until the next save.
 */
export async function completeSave(
  folder: string,
  config: AcditConfig,
  { step, state }: StoredPoint,
): Promise<void> {
  const [newest] = await stateFiles(join(folder, TRAINER_FOLDER));
  if (newest === undefined || stepOf(newest) !== step) return;
  if ((await modelStep(folder)) !== String(step)) {
    await saveModel(folder, config, state.ema, { metadata: { step: String(step) } });
  }
  await removeRemains(folder, step);
}

/** Returns the step that the model of a run's folder records; undefined if there is no model or it records none. */
export async function modelStep(folder: string): Promise<string | undefined> {
  const path = join(folder, WEIGHTS_FILE);
  if (!existsSync(path) || !existsSync(join(folder, CONFIG_FILE))) return undefined;
  const archive = await openSafetensors(await openFile(path)).catch(() => undefined);
  await archive?.close();
  return archive?.metadata.step;
}

/** Removes states that are not kept any more, and temporary files. */
async function removeRemains(folder: string, step: number): Promise<void> {
  const trainer = join(folder, TRAINER_FOLDER);
  const states = await stateFiles(trainer);
  // A state of a later step is damaged, since the run resumed before it.
  const kept = states.filter((name) => stepOf(name) <= step).slice(0, KEPT_STATES);
  for (const name of states) {
    if (!kept.includes(name)) await rm(join(trainer, name), { force: true });
  }
  await removeTemporaries(trainer, (name) => FILE_PATTERN.test(name));
  await removeTemporaries(folder, (name) => name === WEIGHTS_FILE || name === CONFIG_FILE);
}

function stepOf(file: string): number {
  return Number(FILE_PATTERN.exec(file)![1]);
}

/** Lists the states in a run's `trainer` folder, newest first. */
export async function stateFiles(trainer: string): Promise<string[]> {
  const files = await readdir(trainer).catch(() => []);
  return files.filter((file) => FILE_PATTERN.test(file)).sort((a, b) => stepOf(b) - stepOf(a));
}

/** Returns the settings that the newest readable state in a `trainer` folder records; undefined if none records them. */
export async function newestSettings(trainer: string): Promise<RecipeSettings | undefined> {
  for (const file of await stateFiles(trainer)) {
    const archive = await openSafetensors(await openFile(join(trainer, file))).catch(() => undefined);
    await archive?.close();
    const settings = parseSettings(attempt(() => JSON.parse(archive?.metadata.recipe ?? ''), undefined));
    if (settings) return settings;
  }
  return undefined;
}

/**
 * The newest whole state in a run's folder; undefined if there is none. A damaged one, such as a failing disk leaves, is
 * skipped for the previous one.
 * @param allowed keys of the recipe that may differ from the run's, besides those that always may.
 * @param warn gets a line about a damaged state.
 * @throws {CheckpointError} naming what differs if it belongs to another recipe, other classes or another model; or if
 * all are damaged.
 */
export function resumeTraining(
  folder: string,
  config: AcditConfig,
  recipe: Recipe,
  allowed: readonly ChangeableKey[] = [],
  warn: (message: string) => void = () => {},
): Promise<TrainingPoint | undefined> {
  const whole: StateReader<OptimizerState> = async (read) => {
    const readPart = async (part: keyof OptimizerState): Promise<Weights> => {
      const values = new Map<string, Tensor<'float32'>>();
      for (const name of parameters(config).keys()) values.set(name, await read(part, name));
      return packed(values);
    };
    return {
      weights: await readPart('weights'),
      ema: await readPart('ema'),
      firstMoments: await readPart('firstMoments'),
      secondMoments: await readPart('secondMoments'),
    };
  };
  return resumeWith(whole, folder, config, recipe, allowed, warn);
}

/** {@link resumeTraining} with a state that `reader` makes; it is made again if a tensor is damaged. */
export async function resumeWith<State>(
  reader: StateReader<State>,
  folder: string,
  config: AcditConfig,
  recipe: Recipe,
  allowed: readonly ChangeableKey[],
  warn: (message: string) => void,
): Promise<(BatchesStart & { readonly state: State }) | undefined> {
  const trainer = join(folder, TRAINER_FOLDER);
  let damage: FormatError | undefined;
  for (const file of await stateFiles(trainer)) {
    try {
      const point = await readState(reader, join(trainer, file), config, recipe, allowed, warn);
      if (damage) warn(`${damage.message}; the state of step ${point.step} is used instead`);
      return point;
    } catch (error) {
      if (!(error instanceof FormatError)) throw error;
      damage ??= error;
    }
  }
  if (!damage) return undefined;
  throw new CheckpointError(
    `${damage.message}; the state is damaged and there is no intact older one: restore a copy, or start over with ` +
      '--fresh --overwrite',
    { cause: damage },
  );
}

async function readState<State>(
  reader: StateReader<State>,
  path: string,
  config: AcditConfig,
  recipe: Recipe,
  allowed: readonly ChangeableKey[],
  warn: (message: string) => void,
): Promise<BatchesStart & { readonly state: State }> {
  return closingAfter(
    await openChecksummedSafetensors(await openFile(path), isEarlierState),
    async (archive) => {
      const { step, position = adoptedPosition(archive.metadata, recipe) } = archive.metadata;
      requireSameRun(archive.metadata, config, recipe, path, allowed);
      if (![step, position].every((count) => /^\d+$/.test(count ?? ''))) {
        throw new CheckpointError(`${path}: does not say its step and position; start over with --fresh`);
      }
      for (const part of PARTS) checkPart(archive, part, config);
      const state = await reader(async (part, name) => toFloat32(await archive.read(`${part}.${name}`)));
      const note = earlierStateNote(path, archive.metadata, config);
      if (note !== undefined) warn(note);
      return { step: Number(step), position: Number(position), state };
    },
  );
}

/** Checks that a part of a state has the model's weights. @throws {CheckpointError} naming what differs */
function checkPart(archive: SafetensorsArchive, part: keyof OptimizerState, config: AcditConfig): void {
  const stored = archive.names.filter((name) => name.startsWith(`${part}.`));
  const shapes = stored.map((name) => [name.slice(part.length + 1), archive.info(name).shape] as const);
  checkWeights(config, new Map(shapes));
}
