/**
 * @file The trainer's state on disk. Everything needed to go on bit for bit is in one safetensors file, written
 * under a temporary name and renamed, so a kill or a full disk at any moment leaves the previous one whole.
 * Random numbers need no saving: each step draws from a generator derived from the seed and the step.
 */

import { createHash } from 'node:crypto';
import { mkdir, readdir, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { saveModel } from '../checkpoints/save.ts';
import { CheckpointError } from '../errors.ts';
import { openFile } from '../formats/file-source.ts';
import { openSafetensors } from '../formats/safetensors.ts';
import { writeSafetensors } from '../formats/safetensors-writer.ts';
import type { AcditConfig } from '../models/acdit/config.ts';
import { checkWeights, parameters, type Weights } from '../models/acdit/weights.ts';
import type { Tensor } from '../tensor/tensor.ts';
import type { OptimizerState } from './optimizer.ts';
import type { Recipe } from './recipe.ts';

const TRAINER_FOLDER = 'trainer';
const FILE_PATTERN = /^step-(\d+)\.safetensors$/;
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
  await mkdir(trainer, { recursive: true });
  const file = `step-${String(step).padStart(8, '0')}.safetensors`;
  const metadata = { step: String(step), position: String(position), recipe: recipeFingerprint(recipe) };
  await writeSafetensors(join(trainer, file), stateTensors(state), metadata);
  await saveModel(folder, config, state.ema, { metadata: { step: String(step) } });
  for (const older of await stateFiles(trainer)) {
    if (older !== file) await rm(join(trainer, older), { force: true });
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
 * The newest state in a run's folder; undefined if there is none.
 * @throws {CheckpointError} if it belongs to another recipe or model.
 */
export async function resumeTraining(
  folder: string,
  config: AcditConfig,
  recipe: Recipe,
): Promise<TrainingPoint | undefined> {
  const trainer = join(folder, TRAINER_FOLDER);
  const [newest] = await stateFiles(trainer);
  return newest ? readState(join(trainer, newest), config, recipe) : undefined;
}

async function readState(path: string, config: AcditConfig, recipe: Recipe): Promise<TrainingPoint> {
  const archive = await openSafetensors(await openFile(path));
  try {
    const { step, position, recipe: fingerprint } = archive.metadata;
    if (fingerprint !== recipeFingerprint(recipe)) {
      throw new CheckpointError(
        `${path}: was trained with another recipe, so it cannot be resumed with this one; ` +
          'give another output folder, or start over with --fresh',
      );
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
        values.set(name, (await archive.read(prefix + name)) as Tensor<'float32'>);
      }
      return values;
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
