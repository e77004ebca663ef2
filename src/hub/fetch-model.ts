/** @file Models and autoencoders of the hub, by name, as paths that `openModel` and `openAutoencoder` take. */

import { dirname } from 'node:path';
import { at } from '../at.ts';
import { CONFIG_FILE, WEIGHTS_FILE } from '../checkpoints/load.ts';
import { readShardIndex } from '../checkpoints/safetensors-files.ts';
import { AUTOENCODER_ENTRIES, AUTOENCODER_WEIGHTS } from '../checkpoints/stored-autoencoder.ts';
import { HubError } from '../errors.ts';
import { isShardIndex } from '../formats/sharded-safetensors.ts';
import { didYouMean } from '../nearest.ts';
import { expectedPath } from './cache.ts';
import { type Hub, HubFile, openHub } from './connection.ts';
import { ensureFile, type Outcome } from './download-file.ts';
import type { HubOptions } from './events.ts';
import { missingFile } from './listing.ts';
import {
  describeLocation,
  type HubLocation,
  inFolder,
  isAddress,
  parseHubName,
  RELEASED_AUTOENCODER,
  RELEASED_MODELS,
} from './names.ts';

/** Endings of names that are files; other names are folders. */
export const MODEL_FILE = /\.(?:pt|pth|bin|ckpt|safetensors|safetensors\.index\.json)$/;

/**
 * Fetch a model from the Hugging Face Hub, unless the cache holds it.
 * @param name a released model, such as `ACDiT-XL-img`; a file, `owner/repo/file.pt`; or a model folder, `owner/repo` or
 * `owner/repo/folder`. A revision may follow the repository: `owner/repo@v1/file.pt`. The URL of a page of the hub
 * works too, and so does `hf://` before a name.
 * @returns the path of the file or folder in the cache
 * @throws {HubError} if there is no such model or it is unavailable; it names what there is, or where to put the file.
 * @example
 * ```ts
 * const path = await fetchModel('ACDiT-XL-img', { signal, onEvent: (event) => console.log(event.kind) });
 * const { config, weights } = await loadModel(path);
 * ```
 */
export async function fetchModel(name: string, options: HubOptions = {}): Promise<string> {
  const hub = await openHub(options);
  const location = locationOf(
    name,
    hub,
    () =>
      `no such model on this machine, nor a released one${didYouMean(name, RELEASED_MODELS) || '.'} ` +
      `There are ${RELEASED_MODELS.join(', ')}, and other models of the Hugging Face Hub are named owner/repo or ` +
      'owner/repo/file',
  );
  if (!MODEL_FILE.test(location.path)) {
    const sharded = await findShards(hub, location);
    return sharded ?? dirname(await requireFiles(hub, location, [CONFIG_FILE, WEIGHTS_FILE]));
  }
  const file = last(location);
  if (!isShardIndex(file)) {
    return requireFiles(hub, parent(location), file.endsWith('.safetensors') ? [CONFIG_FILE, file] : [file]);
  }
  const path = await requireFiles(hub, parent(location), [CONFIG_FILE, file]);
  await fetchShards(hub, parent(location), path);
  return path;
}

/**
 * Fetches a folder whose weights are in several files, if it has no single file of weights but an index.
 * @returns its path in the cache; undefined if it is not such a folder.
 */
async function findShards(hub: Hub, folder: HubLocation): Promise<string | undefined> {
  const config = await ensureFile(hub, inFolder(folder, CONFIG_FILE));
  if (config.kind !== 'found') return undefined;
  const pinned = pinnedTo(config, folder);
  if ((await ensureFile(hub, inFolder(pinned, WEIGHTS_FILE))).kind === 'found') return undefined;
  const index = await ensureFile(hub, inFolder(pinned, `${WEIGHTS_FILE}.index.json`));
  if (index.kind !== 'found') return undefined;
  await fetchShards(hub, pinned, index.path);
  return dirname(index.path);
}

/** Fetches the files that an index in the cache names. */
async function fetchShards(hub: Hub, folder: HubLocation, indexPath: string): Promise<void> {
  const { files } = await readShardIndex(indexPath);
  await requireFiles(hub, folder, files);
}

/**
 * Fetch an autoencoder in diffusers' layout from the Hugging Face Hub, unless the cache holds it.
 * @param name `owner/repo` or `owner/repo/folder`, where the autoencoder is in this folder or one named `vae` in it.
 * @returns the path of the folder in the cache
 * @throws {HubError} as {@link fetchModel} does.
 */
export async function fetchAutoencoder(name: string, options: HubOptions = {}): Promise<string> {
  const hub = await openHub(options);
  const location = locationOf(
    name,
    hub,
    () => `expected owner/repo or owner/repo/folder, such as ${RELEASED_AUTOENCODER}`,
  );
  const inside = inFolder(location, 'vae');
  const folders = last(location) === 'vae' ? [location] : [inside, location];
  for (const folder of folders) {
    const config = await ensureFile(hub, inFolder(folder, CONFIG_FILE));
    if (config.kind !== 'found') continue;
    const pinned = pinnedTo(config, folder);
    for (const weights of AUTOENCODER_ENTRIES) {
      const outcome = await ensureFile(hub, inFolder(pinned, weights));
      if (outcome.kind !== 'found') continue;
      if (isShardIndex(weights)) await fetchShards(hub, pinned, outcome.path);
      return dirname(config.path);
    }
    return dirname(await requireFiles(hub, folder, [CONFIG_FILE, at(AUTOENCODER_WEIGHTS, 0)]));
  }
  return dirname(await requireFiles(hub, at(folders, -1), [CONFIG_FILE, at(AUTOENCODER_WEIGHTS, 0)]));
}

/** @throws {HubError} if a name is none on the hub, with this problem unless it is an address. */
function locationOf(name: string, { settings }: Hub, problem: () => string): HubLocation {
  const location = parseHubName(name, settings.endpoint);
  if (location) return location;
  if (!isAddress(name)) throw new HubError(`${name}: ${problem()}`);
  // The URL of another page may hold a password or a signature.
  const shown = name.replace(/\/\/.*@/s, '//...@').replace(/[?#].*$/s, '');
  throw new HubError(
    `${shown}: not the address of a model on the hub; expected ${settings.endpoint}/owner/repo, the address of a folder or ` +
      'file in it, or hf://owner/repo',
  );
}

function parent(location: HubLocation): HubLocation {
  return { ...location, path: location.path.split('/').slice(0, -1).join('/') };
}

function last({ path }: HubLocation): string {
  return path.split('/').at(-1)!;
}

/** Files of one folder belong to one commit. */
function pinnedTo(outcome: Outcome, folder: HubLocation): HubLocation {
  return outcome.kind === 'found' && outcome.commit !== undefined
    ? { ...folder, revision: outcome.commit }
    : folder;
}

/** @returns the path of the last of these files. @throws {HubError} if one of them is unavailable. */
async function requireFiles(hub: Hub, folder: HubLocation, names: readonly string[]): Promise<string> {
  let place = folder;
  let path = '';
  for (const name of names) {
    const outcome = await ensureFile(hub, inFolder(place, name));
    if (outcome.kind === 'missing') throw await missingFile(hub, inFolder(folder, name));
    if (outcome.kind === 'absent') throw await absent(hub, folder, names, outcome.reason);
    place = pinnedTo(outcome, place);
    path = outcome.path;
  }
  return path;
}

async function absent(
  hub: Hub,
  folder: HubLocation,
  names: readonly string[],
  reason: string,
): Promise<HubError> {
  const first = inFolder(folder, at(names, 0));
  const path = await expectedPath(new HubFile(hub, first));
  const [what, where] =
    names.length === 1
      ? [first, `put it at ${path}`]
      : [folder, `put ${names.join(' and ')} into ${dirname(path)}`];
  return new HubError(
    `${describeLocation(what)} is not in the cache and cannot be downloaded: ${reason}; ${where}, or give the path of a copy`,
  );
}
