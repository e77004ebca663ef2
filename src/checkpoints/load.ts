/** @file Opening a model in any form: a model folder, its safetensors file, or an official `.pt`. */

import { readdir, readFile, stat } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import type { TunedSolver } from '../diffusion/tuned-solver.ts';
import { CheckpointError } from '../errors.ts';
import { openSafetensors } from '../formats/safetensors.ts';
import { isShardIndex } from '../formats/sharded-safetensors.ts';
import { renamedArchive } from '../formats/tensor-archive.ts';
import { openTorchCheckpoint } from '../formats/torch/checkpoint.ts';
import { closingAfter, closingOnError } from '../io/byte-source.ts';
import { openFile } from '../io/file-source.ts';
import type { AcditConfig } from '../models/acdit/config.ts';
import type { Weights } from '../models/acdit/weights.ts';
import { bundledPath } from './bundled.ts';
import { parseConfig } from './config-json.ts';
import { hubHint } from './hub-hint.ts';
import { type OpenOptions, openOfficial } from './official.ts';
import { openSafetensorsFiles } from './safetensors-files.ts';
import { CONFIG_FILE, checkedModel, readWeights, type StoredModel, WEIGHTS_FILE } from './stored-model.ts';
import { describedSolver, findTunedSolver, readTunedSolver } from './tuned-solver.ts';

export { CONFIG_FILE, readWeights, type StoredModel, WEIGHTS_FILE, weightSource } from './stored-model.ts';

/** Where a training keeps its state, and how the names of the weights in it begin. */
export const TRAINER_FOLDER = 'trainer';
const TRAINED = 'weights.';
/** Key by which a training's state records the path of its autoencoder. */
export const RUN_AUTOENCODER = 'vae';

/**
 * Open a model without reading its weights.
 * @param name the name of a bundled model such as `fashion-mnist`, or a path, which takes precedence: a folder with
 * `config.json` and `model.safetensors` (or its shards with `model.safetensors.index.json`), that safetensors file or index,
 * or an official `.pt`. A name of the Hugging Face Hub is neither: `fetchModel` of `acdit/hub` returns the path of what it
 * fetches.
 * @throws {CheckpointError} if it is missing or not an ACDiT; {FormatError} if a file is damaged.
 */
export async function openModel(name: string, options: OpenOptions = {}): Promise<StoredModel> {
  const find = (path: string) => stat(path).catch(() => undefined);
  const path = (await find(name)) ? name : (bundledPath(name) ?? name);
  const stats = await find(path);
  if (!stats) {
    throw new CheckpointError(
      `${path}: no such model; give a model folder, a .safetensors file or an official .pt${hubHint(path, 'fetchModel')}`,
    );
  }
  const model = await openStored(path, stats.isDirectory(), options);
  return {
    ...model,
    tunedSolver: (signal) => readTunedSolver(path, model, signal),
    describedSolver: () => describedSolver(path, model.config),
    runAutoencoder: () => runAutoencoder(path),
  };
}

async function openStored(path: string, isFolder: boolean, options: OpenOptions): Promise<StoredModel> {
  if (isFolder) return options.weights === 'model' ? openTraining(path) : openFolder(path);
  if (path.endsWith('.safetensors') || isShardIndex(path)) return openFolder(dirname(path), basename(path));
  const checkpoint = await openTorchCheckpoint(await openFile(path));
  return closingOnError(checkpoint, async () => checkedModel(path, openOfficial(checkpoint, path, options)));
}

async function openFolder(folder: string, weightsFile = WEIGHTS_FILE): Promise<StoredModel> {
  const config = await readModelConfig(folder);
  const path = join(folder, weightsFile);
  const archive = await openSafetensorsFiles(path);
  return closingOnError(archive, async () => checkedModel(path, { config, archive }));
}

/** The weights from which a training resumes, in the newest of its states. */
async function openTraining(folder: string): Promise<StoredModel> {
  const config = await readModelConfig(folder);
  const path = await newestState(folder);
  if (path === undefined) {
    throw new CheckpointError(
      `${folder}: holds the moving average of the weights only, no ${TRAINER_FOLDER}/ state; leave out the choice of weights`,
    );
  }
  const state = await openSafetensors(await openFile(path));
  const stored = state.names.filter((name) => name.startsWith(TRAINED));
  const archive = renamedArchive(state, new Map(stored.map((name) => [name.slice(TRAINED.length), name])));
  return closingOnError(archive, async () => checkedModel(path, { config, archive }));
}

/** Returns the path of the newest state of the training in a folder; undefined if there is none. */
async function newestState(folder: string): Promise<string | undefined> {
  const files = await readdir(join(folder, TRAINER_FOLDER)).catch(() => []);
  const file = files
    .filter((name) => name.endsWith('.safetensors'))
    .sort()
    .at(-1);
  return file && join(folder, TRAINER_FOLDER, file);
}

/**
 * Returns the path of the autoencoder that a model's training drew its samples with.
 * @param path the model, as for {@link openModel}.
 * @returns undefined if it is not in the folder of a training, or its training recorded none.
 */
export async function runAutoencoder(path: string): Promise<string | undefined> {
  const isFolder = (await stat(path).catch(() => undefined))?.isDirectory();
  const state = await newestState(isFolder ? path : dirname(path));
  if (state === undefined) return undefined;
  // Resuming the training reports damage.
  const archive = await openFile(state)
    .then(openSafetensors)
    .catch(() => undefined);
  await archive?.close();
  return archive?.metadata[RUN_AUTOENCODER];
}

/** Reads the configuration of the model in a folder. */
export function readModelConfig(folder: string): Promise<AcditConfig> {
  return readConfig(folder, `a model folder holds ${CONFIG_FILE} and ${WEIGHTS_FILE}`, parseConfig);
}

/** Reads the `config.json` of a folder. @param hint what such a folder holds, for the message if it is missing */
export async function readConfig<C>(
  folder: string,
  hint: string,
  parse: (text: string, name: string) => C,
): Promise<C> {
  const path = join(folder, CONFIG_FILE);
  const text = await readFile(path, 'utf8').catch((cause) => {
    throw new CheckpointError(`${path}: cannot be read (${cause.code}); ${hint}`, { cause });
  });
  return parse(text, path);
}

/**
 * Open a model, read its weights, and close its file.
 * @param name as for {@link openModel}: a bundled model or a path, not a name of the Hugging Face Hub.
 * @throws as {@link openModel} does.
 */
export async function loadModel(
  name: string,
  { signal, ...options }: OpenOptions & { readonly signal?: AbortSignal } = {},
): Promise<{ config: AcditConfig; weights: Weights; tuned?: TunedSolver }> {
  const model = await openModel(name, options);
  return closingAfter(model.archive, async () => {
    const tuned = await findTunedSolver(model, signal);
    return {
      config: model.config,
      weights: await readWeights(model, signal ? { signal } : {}),
      ...(tuned && { tuned }),
    };
  });
}
