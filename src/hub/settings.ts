/** @file The environment variables that all programs of the Hugging Face Hub share. */

import { readFile } from 'node:fs/promises';
import { homedir } from 'node:os';
import { join } from 'node:path';
import { HubError } from '../errors.ts';

/** Environment variables, such as `process.env`. */
export type Environment = Readonly<Record<string, string | undefined>>;

/** Where the hub and its cache are, and how to use them. */
export interface HubSettings {
  /** Address of the hub, without a slash at its end. */
  readonly endpoint: string;
  /** Folder of the cache. */
  readonly cache: string;
  /** Use no network. */
  readonly offline: boolean;
  /** Access token, and where it comes from, for messages. */
  readonly token: { readonly value: string; readonly source: string } | undefined;
}

const HUB = 'https://huggingface.co';

/**
 * Settings of the environment: `HF_ENDPOINT`, `HF_HOME`, `HF_HUB_CACHE`, `HF_HUB_OFFLINE`, `HF_TOKEN`, `HF_TOKEN_PATH`,
 * and `XDG_CACHE_HOME`, with the meaning that Python's `huggingface_hub` gives them.
 * @throws {HubError} if `HF_ENDPOINT` is no address.
 */
export async function hubSettings(environment: Environment = process.env): Promise<HubSettings> {
  const get = (name: string): string | undefined => environment[name]?.trim() || undefined;
  const folder = (name: string): string | undefined => get(name)?.replace(/^~(?=$|[/\\])/, homedir());
  const home =
    folder('HF_HOME') ?? join(folder('XDG_CACHE_HOME') ?? join(homedir(), '.cache'), 'huggingface');
  const tokenPath = folder('HF_TOKEN_PATH') ?? join(home, 'token');
  const endpoint = (get('HF_ENDPOINT') ?? HUB).replace(/\/+$/, '');
  if (!/^https?:/.test(endpoint) || !URL.canParse(endpoint)) {
    throw new HubError(`HF_ENDPOINT must be an address such as ${HUB}, got '${endpoint}'`);
  }
  return {
    endpoint,
    cache: folder('HF_HUB_CACHE') ?? folder('HUGGINGFACE_HUB_CACHE') ?? join(home, 'hub'),
    offline: /^(1|on|yes|true)$/i.test(get('HF_HUB_OFFLINE') ?? ''),
    token: tokenOf(get('HF_TOKEN'), 'HF_TOKEN') ?? tokenOf(await textOf(tokenPath), tokenPath),
  };
}

function tokenOf(value: string | undefined, source: string): HubSettings['token'] {
  return value ? { value, source } : undefined;
}

/** What a program that logged in has left, if any did. */
async function textOf(path: string): Promise<string | undefined> {
  const text = await readFile(path, 'utf8').catch(() => undefined);
  return text?.trim();
}
