/** @file Opening models in a browser: files that were chosen or dropped, and addresses. */

import { CONFIG_FILE, openSource, type StoredModel, WEIGHTS_FILE } from '../checkpoints/stored-model.ts';
import { CheckpointError } from '../errors.ts';
import { blobSource } from '../io/byte-source.ts';
import { type HttpOptions, openUrl } from '../io/http-source.ts';

/** A Blob with a name, such as a `File`. */
export type NamedBlob = Blob & { readonly name: string };

/** What official checkpoints are called. */
const CHECKPOINT = /\.(pt|pth|bin)$/i;

/** Whether a file's name is one of weights. */
export function isCheckpoint(name: string): boolean {
  return CHECKPOINT.test(name) || name.endsWith('.safetensors');
}

/**
 * Open a model of files that were chosen or dropped: `config.json` with a `.safetensors` file, or one official `.pt`.
 * Only what is needed is read, and nothing is read of the weights yet.
 * @throws {CheckpointError} if they are no model; {FormatError} if a file is damaged.
 */
export async function openFiles(files: readonly NamedBlob[]): Promise<StoredModel> {
  const config = files.find(({ name }) => name === CONFIG_FILE);
  const weights =
    files.find(({ name }) => name === WEIGHTS_FILE) ??
    files.find(({ name }) => name.endsWith('.safetensors'));
  if (config && weights) return openSource(blobSource(weights), await config.text());
  const checkpoint = files.find(({ name }) => CHECKPOINT.test(name));
  if (checkpoint) return openSource(blobSource(checkpoint));
  const got = files.map(({ name }) => name).join(', ') || 'nothing';
  const missing = weights ? `${CONFIG_FILE}, which lies beside ${weights.name}` : 'weights';
  throw new CheckpointError(
    `no model: ${missing} is missing among ${got}; give the folder of a model (${CONFIG_FILE} and ${WEIGHTS_FILE}), or an official .pt`,
  );
}

/** Open a model whose weights are in memory or on disk, as one Blob: see {@link openFiles}. */
export function openBlob(weights: Blob, name: string, configText?: string): Promise<StoredModel> {
  return openSource(blobSource(weights, name), configText);
}

/**
 * Open a model at an address: that of a model folder, which ends with a slash, or of an official `.pt`. Weights are read
 * by ranges where the server has them.
 * @throws {CheckpointError} if it is no model; {FormatError} if it cannot be had, or is damaged.
 */
export async function openAddress(url: string, options: HttpOptions = {}): Promise<StoredModel> {
  if (!url.endsWith('/')) return openSource(await openUrl(url, options));
  const config = await openUrl(url + CONFIG_FILE, options);
  const text = new TextDecoder().decode(await config.read(0, config.size));
  return openSource(await openUrl(url + WEIGHTS_FILE, options), text);
}
