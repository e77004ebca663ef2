/** @file Models and autoencoders as they are named to a command: by path, or by their name on the Hugging Face Hub. */

import { existsSync } from 'node:fs';
import { basename } from 'node:path';
import { HubError } from '../errors.ts';
import type { HubOptions } from '../hub/events.ts';
import { fetchAutoencoder, fetchModel, MODEL_FILE } from '../hub/fetch-model.ts';
import { isAddress, parseHubName } from '../hub/names.ts';
import { hubSettings } from '../hub/settings.ts';
import type { CommandContext } from './command.ts';
import { hubProgress } from './hub-progress.ts';

/**
 * Returns the path of a model; it is fetched if it is a name on the hub.
 * @throws {HubError} if it is neither a path nor a name there.
 */
export async function modelPath(name: string, context: CommandContext): Promise<string> {
  // Of what can be a path only, whoever opens it says what is wrong.
  const isPath = existsSync(name) || (looksLikePath(name) && !parseHubName(name));
  return isPath ? name : fetched(name, fetchModel, context);
}

/** The same for the folder of an autoencoder. */
export async function autoencoderPath(name: string, context: CommandContext): Promise<string> {
  const isOnHub = !existsSync(name) && (isAddress(name) || (looksLikePath(name) && parseHubName(name)));
  return isOnHub ? fetched(name, fetchAutoencoder, context) : name;
}

/**
 * Names a model of the hub after its file, its folder or its repository, since its path in the cache is that of a commit.
 * @returns undefined if it is a path on this machine.
 */
export async function hubModelName(name: string): Promise<string | undefined> {
  if (existsSync(name)) return undefined;
  const location = parseHubName(name, (await hubSettings()).endpoint);
  return location && basename(location.path || location.repo).replace(MODEL_FILE, '');
}

function looksLikePath(name: string): boolean {
  return /[/\\]/.test(name) && !isAddress(name);
}

async function fetched(
  name: string,
  fetchNamed: (name: string, options: HubOptions) => Promise<string>,
  context: CommandContext,
): Promise<string> {
  const { onEvent, close } = hubProgress(context);
  try {
    return await fetchNamed(name, { signal: context.signal, onEvent });
  } catch (cause) {
    if (!(cause instanceof HubError) || !looksLikePath(name)) throw cause;
    throw new HubError(
      `${name}: there is no such path on this machine; on the Hugging Face Hub: ${cause.message}`,
      { cause },
    );
  } finally {
    close();
  }
}
