/** @file Autoencoders on disk, in the folder layout of diffusers: `config.json` next to the weights. */

import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { CheckpointError } from '../errors.ts';
import { isFile, openFile } from '../io/file-source.ts';
import { hubHint } from './hub-hint.ts';
import { openSafetensorsFiles } from './safetensors-files.ts';
import {
  AUTOENCODER_ENTRIES,
  AUTOENCODER_WEIGHTS,
  openAutoencoderSource,
  parseAutoencoderConfig,
  type StoredAutoencoder,
  storedAutoencoder,
} from './stored-autoencoder.ts';

/**
 * Open an autoencoder without reading its weights.
 * @param path a folder with `config.json` and the weights as `diffusion_pytorch_model.safetensors`, in one file or in
 * several with an index, or as `.bin`, or a folder with such a folder named `vae`. A name of the Hugging Face Hub is not a
 * path: `fetchAutoencoder` of `acdit/hub` returns the path of what it fetches.
 * @throws {CheckpointError} if it is missing or no AutoencoderKL; {FormatError} if a file is damaged.
 */
export async function openAutoencoder(path: string): Promise<StoredAutoencoder> {
  const folder = await autoencoderFolder(path);
  const configPath = join(folder, 'config.json');
  const config = parseAutoencoderConfig(await readFile(configPath, 'utf8'), configPath);
  const weights = await weightsFile(folder);
  if (weights.endsWith('.bin')) return openAutoencoderSource(await openFile(weights), config);
  return storedAutoencoder(await openSafetensorsFiles(weights), config, weights);
}

async function autoencoderFolder(path: string): Promise<string> {
  const inside = join(path, 'vae');
  // A whole pipeline's folder may have a configuration of another part.
  for (const folder of [inside, path]) if (await isFile(join(folder, 'config.json'))) return folder;
  throw new CheckpointError(
    `${path}: no autoencoder; give a folder with config.json and ${AUTOENCODER_WEIGHTS[0]} (or .bin), ` +
      `or one with such a folder named vae${hubHint(path, 'fetchAutoencoder')}`,
  );
}

async function weightsFile(folder: string): Promise<string> {
  for (const name of AUTOENCODER_ENTRIES) if (await isFile(join(folder, name))) return join(folder, name);
  throw new CheckpointError(`${folder}: holds no weights; expected ${AUTOENCODER_WEIGHTS.join(', or ')}`);
}
