/** @file What the hub refuses, and what to do about it. */

import { HubError } from '../errors.ts';
import { printableList } from '../io/printable.ts';
import { didYouMean } from '../nearest.ts';
import type { Hub, HubFile } from './connection.ts';
import { listRepository } from './listing.ts';
import { describeLocation, type HubLocation } from './names.ts';

/** The error for a status that is no success. @param code the hub's own name for it, `X-Error-Code`. */
export function refusal(file: HubFile, status: number, code: string | null): HubError {
  const { endpoint, token } = file.hub.settings;
  const { repo } = file.location;
  const page = `${endpoint}/${repo}`;
  if (code === 'GatedRepo' || status === 403) {
    return file.error(
      `access is denied (${status}); accept the terms on ${page} if it has some, and ` +
        (token
          ? `see whether the token in ${token.source} may read it`
          : 'set HF_TOKEN to a token that may read it'),
    );
  }
  if (status === 401) {
    return file.error(
      token
        ? `the token in ${token.source} was refused (401); set HF_TOKEN to a valid one that may read ${page}`
        : `there is no such repository, or it is private or gated (401); if it is, set HF_TOKEN to a token that may read it`,
    );
  }
  if (status === 404) return file.error(`${endpoint} has no repository ${repo}`);
  return file.error(`${endpoint} answers with status ${status}; try again later`);
}

/** The error for a file that is not there, naming what is. */
export async function missingFile(hub: Hub, location: HubLocation): Promise<HubError> {
  const { repo, revision, path } = location;
  const where = describeLocation({ repo, revision, path: '' });
  const files = await listRepository(hub, location).catch(() => undefined);
  if (!files) return new HubError(`${where} holds no ${path}, or there is no such repository or revision`);
  if (files.length === 0) return new HubError(`${where} holds no ${path}: it is empty`);
  return new HubError(
    `${where} holds no ${path}${didYouMean(path, files, (file) => `${repo}/${file}`) || '.'} It holds ${printableList(files)}`,
  );
}
