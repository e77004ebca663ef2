/** @file The environment variables that all programs of the Hugging Face Hub share. */

import { readFile } from 'node:fs/promises';
import { homedir } from 'node:os';
import { join } from 'node:path';
import { HubError } from '../errors.ts';

/** Environment variables, such as `process.env`. */
export type Environment = Readonly<Record<string, string | undefined>>;

/** Where the hub and its cache are, and how to use them. */
export interface HubSettings {
  /** URL of the hub, without a slash at its end, a user name or a password. */
  readonly endpoint: string;
  /** Folder of the cache. */
  readonly cache: string;
  /** Folder of notes on which files of the cache were checked. */
  readonly checked: string;
  /** Use no network. */
  readonly offline: boolean;
  /** Access token, and where it comes from, for messages. */
  readonly token: { readonly value: string; readonly source: string } | undefined;
  /** User name and password of `HF_ENDPOINT`, as HTTP's Basic authentication sends them. */
  readonly basic: string | undefined;
}

const HUB = 'https://huggingface.co';

/**
 * Settings of the environment: `HF_ENDPOINT`, `HF_HOME`, `HF_HUB_CACHE`, `HF_HUB_OFFLINE`, `HF_TOKEN`, `HF_TOKEN_PATH`,
 * and `XDG_CACHE_HOME`, with the meaning that Python's `huggingface_hub` gives them.
 * @throws {HubError} if `HF_ENDPOINT` is not a URL, or the token cannot be sent. The message holds no secret.
 */
export async function hubSettings(environment: Environment = process.env): Promise<HubSettings> {
  const get = (name: string): string | undefined => environment[name]?.trim() || undefined;
  const folder = (name: string): string | undefined => get(name)?.replace(/^~(?=$|[/\\])/, homedir());
  const home =
    folder('HF_HOME') ?? join(folder('XDG_CACHE_HOME') ?? join(homedir(), '.cache'), 'huggingface');
  const tokenPath = folder('HF_TOKEN_PATH') ?? join(home, 'token');
  return {
    ...endpointOf(get('HF_ENDPOINT') ?? HUB),
    cache: folder('HF_HUB_CACHE') ?? folder('HUGGINGFACE_HUB_CACHE') ?? join(home, 'hub'),
    checked: join(home, 'acdit', 'checked'),
    offline: /^(1|on|yes|true)$/i.test(get('HF_HUB_OFFLINE') ?? ''),
    token: tokenOf(get('HF_TOKEN'), 'HF_TOKEN') ?? tokenOf(await textOf(tokenPath), tokenPath),
  };
}

function endpointOf(text: string): Pick<HubSettings, 'endpoint' | 'basic'> {
  const url = /^https?:/i.test(text) && URL.canParse(text) ? new URL(text) : undefined;
  if (url === undefined || url.search !== '' || url.hash !== '') {
    // The part before @ or after ? may be a secret.
    const shown = text.replace(/^.*@/s, '...@').replace(/[?#].*$/s, '?...');
    throw new HubError(`HF_ENDPOINT must be a URL such as ${HUB}, got '${shown}'`);
  }
  const { origin, pathname, username, password } = url;
  return {
    endpoint: `${origin}${pathname.replace(/\/+$/, '')}`,
    basic: username === '' && password === '' ? undefined : basicOf(username, password),
  };
}

function basicOf(username: string, password: string): string {
  try {
    const text = [username, password].map(decodeURIComponent).join(':');
    return Buffer.from(text).toString('base64');
  } catch (cause) {
    throw new HubError('the user name and password in HF_ENDPOINT must be percent-encoded', { cause });
  }
}

function tokenOf(value: string | undefined, source: string): HubSettings['token'] {
  if (!value) return undefined;
  const bad = /[^\x21-\x7e]/.exec(value); // HTTP cannot send it
  if (!bad) return { value, source };
  throw new HubError(
    `the token in ${source} is not a token: its character ${bad.index + 1} is ${describeCharacter(bad[0])}; ` +
      'set HF_TOKEN to the token alone',
  );
}

function describeCharacter(character: string): string {
  if (/[\r\n]/.test(character)) return 'a line break';
  return character.trim() === '' ? 'white space' : 'not a visible ASCII character';
}

/** What a program that logged in has left, if any did. */
async function textOf(path: string): Promise<string | undefined> {
  const text = await readFile(path, 'utf8').catch(() => undefined);
  return text?.trim();
}
