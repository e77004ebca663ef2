/** @file Trainings as PyTorch's checkpoints, and back: weights, moving average, AdamW's moments and the step. */

import { join } from 'node:path';
import { isDeepStrictEqual } from 'node:util';
import type { AdamWSettings, AdamWState } from '../checkpoints/adamw-state.ts';
import { readModelConfig, TRAINER_FOLDER } from '../checkpoints/load.ts';
import type { CheckpointLayout } from '../checkpoints/official-config.ts';
import { openOfficialTraining } from '../checkpoints/official-training.ts';
import { officialLimits, saveOfficialTraining } from '../checkpoints/official-writer.ts';
import { type StoredWeights, storedAs } from '../checkpoints/save.ts';
import { CheckpointError } from '../errors.ts';
import { openChecksummedSafetensors } from '../formats/checksummed-safetensors.ts';
import type { LazyTensor, Metadata, TensorArchive } from '../formats/tensor-archive.ts';
import { writeFolderAtomically } from '../io/atomic-write.ts';
import { closingAfter } from '../io/byte-source.ts';
import { openFile } from '../io/file-source.ts';
import { parseJson } from '../io/json.ts';
import type { AcditConfig } from '../models/acdit/config.ts';
import { parameters } from '../models/acdit/weights.ts';
import { filterKeys } from '../records.ts';
import { type Tensor, zeros } from '../tensor/tensor.ts';
import { adoptedMetadata, adoptedSettings, isAdopted } from './adopted-state.ts';
import { type StoredState, stateFiles, writeState } from './checkpoint.ts';
import { learningRate } from './learning-rate.ts';
import type { OptimizerState } from './optimizer.ts';
import { parseSettings, type RecipeSettings } from './recipe.ts';

/** What {@link exportTraining} and {@link importTraining} report. */
export interface TrainingConversion {
  readonly step: number;
  /** What the user should know. */
  readonly notes: readonly string[];
}

/** Options of both directions. */
export interface TrainingConversionOptions {
  /** Called with the model before tensors are read. */
  readonly onModel?: ((config: AcditConfig) => void) | undefined;
  readonly signal?: AbortSignal | undefined;
  /** Called when a tensor is read, which may happen twice, with the state's part and the tensor's name. */
  readonly onTensor?: ((name: string) => void) | undefined;
}

/** Metadata that is about the file and not about the run. */
const FILE_METADATA = /^(format|checksums?)$/;

/**
 * Writes the newest state of a run as a checkpoint that PyTorch resumes from: `model`, `ema` and `opt` of
 * {@link saveOfficialTraining}. The learning rate in it is that of the next step.
 * @throws {CheckpointError} if the folder holds no state, or one that does not record its recipe; {FormatError} if it is
 * damaged.
 */
export async function exportTraining(
  folder: string,
  path: string,
  { onModel, onTensor, signal }: TrainingConversionOptions = {},
): Promise<TrainingConversion> {
  const [newest] = await stateFiles(join(folder, TRAINER_FOLDER));
  if (newest === undefined) {
    throw new CheckpointError(
      `${folder}: holds no state of a training; give the folder of a run of acdit train, or leave out --training`,
    );
  }
  const file = join(folder, TRAINER_FOLDER, newest);
  const config = await readModelConfig(folder);
  return closingAfter(await openChecksummedSafetensors(await openFile(file)), async (archive) => {
    const step = Number(archive.metadata.step);
    const { settings, peak } = settingsOf(archive.metadata, step, file);
    onModel?.(config);
    const part = (name: keyof OptimizerState) =>
      watched(lazyTensors(archive, config, `${name}.`), `${name}.`, onTensor, signal);
    const [firstMoments, secondMoments] = [part('firstMoments'), part('secondMoments')];
    const run = filterKeys(archive.metadata, (key) => !FILE_METADATA.test(key));
    const optimizer = { step, settings, firstMoments, secondMoments };
    const state = { weights: part('weights'), ema: part('ema'), optimizer, peak, run };
    await saveOfficialTraining(path, config, state, signal);
    return { step, notes: officialLimits(config) };
  });
}

/** Returns the settings of the next step. */
function settingsOf(
  metadata: Metadata,
  step: number,
  where: string,
): { settings: AdamWSettings; peak: number } {
  if (isAdopted(metadata)) {
    const settings = adoptedSettings(metadata, where);
    return { settings, peak: settings.learningRate };
  }
  const { training } = recordedRecipe(metadata, where);
  const { schedule: kind, learningRate: peak, steps: totalSteps, warmupSteps, decayFraction } = training;
  const { betas, epsilon, weightDecay } = training;
  const rate = learningRate({ kind, peak, totalSteps, warmupSteps, decayFraction }, step);
  return { settings: { learningRate: rate, betas, epsilon, weightDecay }, peak };
}

function recordedRecipe({ recipe }: Metadata, where: string): RecipeSettings {
  const isJson = recipe?.startsWith('{') === true;
  const settings = isJson ? parseSettings(parseJson(recipe, where, CheckpointError)) : undefined;
  if (settings) return settings;
  throw new CheckpointError(
    `${where}: does not record the recipe of its run, since an earlier version wrote it; resume the run for a step, then ` +
      'convert it',
  );
}

/**
 * Writes a training checkpoint of PyTorch as the folder of a run, from which `acdit train` resumes. If the training began
 * here, so that the checkpoint holds what was recorded of it, its recipe resumes it; otherwise any recipe of the same model
 * does, with the same betas, epsilon and weight decay.
 * @param folder must not exist.
 * @param layout for a checkpoint that does not state it.
 * @throws what {@link openOfficialTraining} does; {AcditError} if the folder cannot be written.
 */
export async function importTraining(
  path: string,
  folder: string,
  layout: CheckpointLayout,
  { onModel, onTensor, signal }: TrainingConversionOptions = {},
): Promise<TrainingConversion> {
  const training = await openOfficialTraining(path, layout);
  return closingAfter(training, async () => {
    const { config, weights, ema, optimizer, run } = training;
    onModel?.(config);
    const { step, settings, firstMoments, secondMoments } = optimizer;
    const part = (name: string, tensors: TensorMap): StoredWeights =>
      storedAs(watched(tensors, `${name}.`, onTensor, signal), 'float32');
    const moments = (given: TensorMap | undefined): TensorMap =>
      new Map(
        [...parameters(config)].map(([name, shape]) => [name, given?.get(name) ?? zeros('float32', shape)]),
      );
    const state: StoredState = {
      weights: part('weights', lazyTensors(weights, config)),
      ema: part('ema', lazyTensors(ema ?? weights, config)),
      firstMoments: part('firstMoments', moments(firstMoments)),
      secondMoments: part('secondMoments', moments(secondMoments)),
    };
    const metadata =
      run && !isAdopted(run) ? continued(run, optimizer, path) : adoptedMetadata(config, settings);
    await writeFolderAtomically(folder, (written) => writeState(written, config, metadata, { step, state }));
    const notes = [
      !ema && 'the checkpoint holds no moving average (ema), so it begins at the weights',
      !firstMoments && 'its optimizer has taken no step, so the moments begin at 0',
      `its learning rate was ${settings.learningRate}; from here on, the recipe sets the rate`,
    ];
    return { step, notes: notes.filter((note) => note !== false) };
  });
}

/** What is recorded of a run that a PyTorch program has continued. */
function continued(run: Metadata, { step, settings }: AdamWState, path: string): Metadata {
  const recipe = recordedRecipe(run, path);
  const { training } = recipe;
  const { betas, epsilon, weightDecay } = settings;
  const samples = (step - Number(run.step)) * training.batch * training.accumulate;
  const position = Number(run.position) + samples;
  if (!Number.isSafeInteger(position) || position < 0) {
    throw new CheckpointError(
      `${path}: its optimizer has taken ${step} steps, and the run it continues began at step ${run.step}`,
    );
  }
  const now = { ...training, betas, epsilon, weightDecay };
  return {
    ...run,
    step: String(step),
    position: String(position),
    ...(!isDeepStrictEqual(now, training) && { recipe: JSON.stringify({ ...recipe, training: now }) }),
  };
}

type TensorMap = ReadonlyMap<string, Tensor | LazyTensor>;

/** The model's tensors in their official order, each still in its file. */
function lazyTensors(archive: TensorArchive, config: AcditConfig, prefix = ''): TensorMap {
  return new Map(
    [...parameters(config).keys()].map((name): [string, LazyTensor] => [
      name,
      { ...archive.info(prefix + name), read: () => archive.read(prefix + name) },
    ]),
  );
}

/** Tensors that report when they are read. @param signal stops the reading */
function watched(
  tensors: TensorMap,
  prefix: string,
  onTensor: ((name: string) => void) | undefined,
  signal: AbortSignal | undefined,
): TensorMap {
  return new Map(
    [...tensors].map(([name, value]): [string, LazyTensor] => [
      name,
      {
        dtype: value.dtype,
        shape: value.shape,
        async read() {
          signal?.throwIfAborted();
          onTensor?.(prefix + name);
          return 'read' in value ? value.read() : value;
        },
      },
    ]),
  );
}
