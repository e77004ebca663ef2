/** @file Models and autoencoders as they are named to a command: by path, or by their name on the Hugging Face Hub. */

import { existsSync } from 'node:fs';
import { HubError } from '../errors.ts';
import type { HubOptions } from '../hub/events.ts';
import { fetchAutoencoder, fetchModel } from '../hub/fetch-model.ts';
import { parseHubName } from '../hub/names.ts';
import type { Terminal } from './command.ts';
import { hubProgress } from './hub-progress.ts';

/**
 * Where the model that a command is given lies; it is fetched from the hub if it is no path but a name there.
 * @param quiet show no progress
 * @throws {HubError} if it is neither.
 */
export async function modelPath(name: string, terminal: Terminal, quiet: boolean): Promise<string> {
  // Of what can be a path only, whoever opens it says what is wrong.
  if (existsSync(name) || (looksLikePath(name) && !parseHubName(name))) return name;
  return fetched(name, fetchModel, terminal, quiet);
}

/** The same for the folder of an autoencoder. */
export async function autoencoderPath(name: string, terminal: Terminal, quiet: boolean): Promise<string> {
  if (existsSync(name) || !looksLikePath(name) || !parseHubName(name)) return name;
  return fetched(name, fetchAutoencoder, terminal, quiet);
}

function looksLikePath(name: string): boolean {
  return /[/\\]/.test(name);
}

async function fetched(
  name: string,
  fetchNamed: (name: string, options: HubOptions) => Promise<string>,
  terminal: Terminal,
  quiet: boolean,
): Promise<string> {
  const { onEvent, close } = hubProgress(terminal, quiet);
  try {
    return await fetchNamed(name, { signal: terminal.signal, onEvent });
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
