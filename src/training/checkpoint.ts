/**
 * @file The trainer's state on disk. Everything needed to go on bit for bit is in one safetensors file, written
 * under a temporary name and renamed, so a kill or a full disk at any moment leaves the previous one whole.
 * Random numbers need no saving: each step draws from a generator derived from the seed and the step.
 */

import { createHash } from 'node:crypto';
import { readdir, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { TRAINER_FOLDER } from '../checkpoints/load.ts';
import { saveModel } from '../checkpoints/save.ts';
import { CheckpointError, FormatError } from '../errors.ts';
import { makeFolders } from '../formats/atomic-write.ts';
import { openFile } from '../formats/file-source.ts';
import { openSafetensors } from '../formats/safetensors.ts';
import { writeSafetensors } from '../formats/safetensors-writer.ts';
import type { AcditConfig } from '../models/acdit/config.ts';
import { checkWeights, parameters, type Weights } from '../models/acdit/weights.ts';
import { toFloat32 } from '../tensor/convert.ts';
import type { Tensor } from '../tensor/tensor.ts';
import { type OptimizerState, packed } from './optimizer.ts';
import type { Recipe } from './recipe.ts';

const FILE_PATTERN = /^step-(\d+)\.safetensors$/;
const UNFINISHED_PATTERN = /^\.(step-\d+|model)\.safetensors\.[0-9a-f]+\.tmp$/;
const PARTS = ['weights', 'ema', 'firstMoments', 'secondMoments'] as const;

/** Training at a point in time. */
export interface TrainingPoint {
  /** Optimizer steps done. */
  readonly step: number;
  /** Samples seen, corrupt ones not counted. */
  readonly position: number;
  readonly state: OptimizerState;
}

/**
 * What must stay the same for a resumed run to be the same run: all but where it writes, what it logs, and the
 * memory it takes. The number of steps may change, since a wsd run is made to be prolonged before its decay.
 */
export function recipeFingerprint(recipe: Recipe): string {
  const { training, model, data } = recipe;
  const { activations: _activations, steps: _steps, ...settings } = training;
  return createHash('sha256').update(JSON.stringify({ model, data, settings })).digest('hex').slice(0, 16);
}

/** Write the trainer's state, then the model folder with the EMA weights, then drop older states. */
export async function saveTraining(
  folder: string,
  config: AcditConfig,
  recipe: Recipe,
  { step, position, state }: TrainingPoint,
): Promise<void> {
  const trainer = join(folder, TRAINER_FOLDER);
  await makeFolders(trainer);
  const file = `step-${String(step).padStart(8, '0')}.safetensors`;
  const metadata = {
    step: String(step),
    position: String(position),
    recipe: recipeFingerprint(recipe),
    ...(config.autoencoder && { autoencoder: config.autoencoder.fingerprint }),
  };
  await writeSafetensors(join(trainer, file), stateTensors(state), metadata);
  await saveModel(folder, config, state.ema, { metadata: { step: String(step) } });
  for (const older of await stateFiles(trainer)) {
    if (older !== file) await rm(join(trainer, older), { force: true });
  }
  await removeUnfinished(trainer);
  await removeUnfinished(folder);
}

/** What a kill in the middle of writing left behind: temporary files as large as the state. */
async function removeUnfinished(folder: string): Promise<void> {
  for (const file of await readdir(folder)) {
    if (UNFINISHED_PATTERN.test(file)) await rm(join(folder, file), { force: true });
  }
}

function stateTensors(state: OptimizerState): [string, Tensor][] {
  return PARTS.flatMap((part) =>
    [...state[part]].map(([name, value]): [string, Tensor] => [`${part}.${name}`, value]),
  );
}

/** State files, newest first. */
async function stateFiles(trainer: string): Promise<string[]> {
  const files = await readdir(trainer).catch(() => []);
  const stepOf = (file: string): number => Number(FILE_PATTERN.exec(file)![1]);
  return files.filter((file) => FILE_PATTERN.test(file)).sort((a, b) => stepOf(b) - stepOf(a));
}

/**
 * The newest whole state in a run's folder; undefined if there is none. A damaged one, such as a failing disk leaves,
 * is passed over for the one before it.
 * @throws {CheckpointError} if it belongs to another recipe or model, or all are damaged.
 */
export async function resumeTraining(
  folder: string,
  config: AcditConfig,
  recipe: Recipe,
): Promise<TrainingPoint | undefined> {
  const trainer = join(folder, TRAINER_FOLDER);
  let damage: FormatError | undefined;
  for (const file of await stateFiles(trainer)) {
    try {
      return await readState(join(trainer, file), config, recipe);
    } catch (error) {
      if (!(error instanceof FormatError)) throw error;
      damage ??= error;
    }
  }
  if (!damage) return undefined;
  throw new CheckpointError(
    `${damage.message}; the state is damaged and there is no older one: put back a copy, or start over with --fresh`,
    { cause: damage },
  );
}

async function readState(path: string, config: AcditConfig, recipe: Recipe): Promise<TrainingPoint> {
  const archive = await openSafetensors(await openFile(path));
  try {
    const { step, position, recipe: fingerprint, autoencoder } = archive.metadata;
    if (fingerprint !== recipeFingerprint(recipe)) {
      throw new CheckpointError(
        `${path}: was trained with another recipe, so it cannot be resumed with this one; ` +
          'give another output folder, or start over with --fresh',
      );
    }
    const { fingerprint: present } = config.autoencoder ?? {};
    if (autoencoder !== present) {
      throw new CheckpointError(
        `${path}: was trained on latents of autoencoder ${autoencoder ?? 'none'}, and the data is now of ` +
          `${present ?? 'none'}; use the data it was trained on, or start over with --fresh`,
      );
    }
    if (![step, position].every((count) => /^\d+$/.test(count ?? ''))) {
      throw new CheckpointError(`${path}: does not say its step and position; start over with --fresh`);
    }
    const readPart = async (part: (typeof PARTS)[number]): Promise<Weights> => {
      const prefix = `${part}.`;
      const names = archive.names.filter((name) => name.startsWith(prefix));
      checkWeights(
        config,
        new Map(names.map((name) => [name.slice(prefix.length), archive.info(name).shape])),
      );
      const values = new Map<string, Tensor<'float32'>>();
      for (const name of parameters(config).keys()) {
        values.set(name, toFloat32(await archive.read(prefix + name)));
      }
      return packed(values);
    };
    return {
      step: Number(step),
      position: Number(position),
      state: {
        weights: await readPart('weights'),
        ema: await readPart('ema'),
        firstMoments: await readPart('firstMoments'),
        secondMoments: await readPart('secondMoments'),
      },
    };
  } finally {
    await archive.close();
  }
}
