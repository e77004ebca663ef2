/** @file Opening models and autoencoders in a browser: files that were chosen or dropped, and addresses. */

import { SOLVER_FILE } from '../checkpoints/solver-file.ts';
import {
  AUTOENCODER_WEIGHTS,
  openAutoencoderSource,
  parseAutoencoderConfig,
  type StoredAutoencoder,
} from '../checkpoints/stored-autoencoder.ts';
import { CONFIG_FILE, openSource, type StoredModel, WEIGHTS_FILE } from '../checkpoints/stored-model.ts';
import { CheckpointError } from '../errors.ts';
import { blobSource } from '../io/byte-source.ts';
import { type HttpOptions, openUrl } from '../io/http-source.ts';
import { withTunedSolver } from './tuned-solver.ts';

/** A Blob with a name, such as a `File`. */
export type NamedBlob = Blob & { readonly name: string };

/** What official checkpoints are called. */
const CHECKPOINT = /\.(pt|pth|bin)$/i;

/**
 * Open a model of files that were chosen or dropped: `config.json` with a `.safetensors` file, or one official `.pt`.
 * Only what is needed is read, and nothing is read of the weights yet.
 * @throws {CheckpointError} if they are not a model; {FormatError} if a file is damaged.
 */
export async function openFiles(files: readonly NamedBlob[]): Promise<StoredModel> {
  const config = files.find(({ name }) => name === CONFIG_FILE);
  const weights =
    files.find(({ name }) => name === WEIGHTS_FILE) ??
    files.find(({ name }) => name.endsWith('.safetensors'));
  if (config && weights) {
    const model = await openSource(blobSource(weights), await config.text());
    const solver = files.find(({ name }) => name === SOLVER_FILE);
    return solver ? withTunedSolver(model, () => solver.text(), SOLVER_FILE) : model;
  }
  const checkpoint = files.find(({ name }) => CHECKPOINT.test(name));
  if (checkpoint) return openSource(blobSource(checkpoint));
  const missing = weights ? `${CONFIG_FILE}, which belongs next to ${weights.name}` : 'weights';
  throw new CheckpointError(
    `no model: ${missing} is missing among ${namesOf(files)}; give the folder of a model (${CONFIG_FILE} and ${WEIGHTS_FILE}), or an official .pt`,
  );
}

/** Open a model whose weights are in memory or on disk, as one Blob: see {@link openFiles}. */
export function openBlob(weights: Blob, name: string, configText?: string): Promise<StoredModel> {
  return openSource(blobSource(weights, name), configText);
}

/**
 * Open a model at an address: that of a model folder, which ends with a slash, or of an official `.pt`. Weights are read
 * by ranges where the server has them.
 * @throws {CheckpointError} if it is not a model; {FormatError} if it is unavailable or damaged.
 */
export async function openAddress(url: string, options: HttpOptions = {}): Promise<StoredModel> {
  if (!url.endsWith('/')) return openSource(await openUrl(url, options));
  const config = await readConfig(url, options);
  const model = await openSource(await openUrl(url + WEIGHTS_FILE, options), config);
  const solver = url + SOLVER_FILE;
  return withTunedSolver(model, () => readText(solver, options), solver);
}

function readConfig(folder: string, options: HttpOptions): Promise<string> {
  return readText(folder + CONFIG_FILE, options);
}

async function readText(url: string, options: HttpOptions): Promise<string> {
  const file = await openUrl(url, options);
  return new TextDecoder().decode(await file.read(0, file.size));
}

function namesOf(files: readonly NamedBlob[]): string {
  return files.map(({ name }) => name).join(', ') || 'nothing';
}

/** Files by what they are of. */
export interface SortedFiles {
  /** Those of an autoencoder, if there is one or a part of one. */
  readonly autoencoder: readonly NamedBlob[];
  /** The others, if weights are among them, or if there is no autoencoder. */
  readonly model: readonly NamedBlob[];
}

/**
 * Tell an autoencoder's files from those of a model: by the class that its `config.json` names, and by what its weights
 * are called. Both may be given at once.
 */
export async function sortFiles(files: readonly NamedBlob[]): Promise<SortedFiles> {
  const weights = AUTOENCODER_WEIGHTS.flatMap((name) => files.filter((file) => file.name === name))[0];
  const configs = files.filter(({ name }) => name === CONFIG_FILE);
  const texts = await Promise.all(configs.map((config) => config.text()));
  const named = texts.map((text) => /"_class_name"\s*:\s*"Autoencoder/.test(text));
  // Not every configuration names its class.
  const config = configs[named.indexOf(true)] ?? (weights && configs.length === 1 ? configs[0] : undefined);
  const autoencoder = [config, weights].filter((file) => file !== undefined);
  const rest = files.filter((file) => file !== config && !AUTOENCODER_WEIGHTS.includes(file.name));
  const isModel =
    autoencoder.length === 0 ||
    rest.some(({ name }) => CHECKPOINT.test(name) || name.endsWith('.safetensors'));
  return { autoencoder, model: isModel ? rest : [] };
}

/**
 * Open an autoencoder of files that were chosen or dropped: `config.json`, and `diffusion_pytorch_model.safetensors` or
 * `.bin`. Nothing is read of the weights yet.
 * @throws {CheckpointError} if they are none, or of a kind that is not supported; {FormatError} if a file is damaged.
 */
export async function openAutoencoderFiles(files: readonly NamedBlob[]): Promise<StoredAutoencoder> {
  const [config, weights] = (await sortFiles(files)).autoencoder;
  if (config?.name === CONFIG_FILE && weights) {
    const parsed = parseAutoencoderConfig(await config.text(), CONFIG_FILE);
    return openAutoencoderSource(blobSource(weights), parsed);
  }
  throw new CheckpointError(
    `no whole autoencoder: got ${namesOf(files)}; give its folder, with ${CONFIG_FILE} and ${AUTOENCODER_WEIGHTS[0]} (or .bin)`,
  );
}

/**
 * Open an autoencoder at the address of its folder, which ends with a slash.
 * @param weightsFile what its weights are called there.
 * @throws {CheckpointError} if it is none, or of a kind that is not supported; {FormatError} if it is unavailable.
 */
export async function openAutoencoderAddress(
  url: string,
  { weightsFile = AUTOENCODER_WEIGHTS[0], ...options }: HttpOptions & { readonly weightsFile?: string } = {},
): Promise<StoredAutoencoder> {
  const parsed = parseAutoencoderConfig(await readConfig(url, options), url + CONFIG_FILE);
  return openAutoencoderSource(await openUrl(url + weightsFile, options), parsed);
}
