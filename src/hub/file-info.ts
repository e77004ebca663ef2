/** @file What the hub says of a file before it is downloaded: commit, checksum, size. */

import { HubError } from '../errors.ts';
import { pause } from '../pause.ts';
import { COMMIT } from './cache.ts';
import { CHECKSUM } from './checksum.ts';
import { attemptDelay, ConnectionProblem, connected, type Hub, isPassing, resolveUrl } from './connection.ts';
import { listedFile } from './listing.ts';
import { describeLocation, type HubLocation } from './names.ts';
import { refusal } from './refusals.ts';

export interface FileInfo {
  /** The commit that the revision is at. */
  readonly commit: string;
  /** SHA-256 or git's object name; see `checksum.ts`. */
  readonly checksum: string;
  /** Bytes. */
  readonly size: number;
}

/** The hub's answer. */
export type Lookup =
  | { readonly kind: 'found'; readonly info: FileInfo }
  | { readonly kind: 'missing' }
  | { readonly kind: 'unreachable'; readonly reason: string };

const ATTEMPTS = 3;
const MOST_REDIRECTS = 5;

/**
 * Ask the hub about a file. Its headers say all of it, as Python's `huggingface_hub` reads them, on mirrors too; what
 * they lack is asked of the API.
 * @throws {HubError} if the hub denies access, or its answer makes no sense.
 */
export async function lookUp(hub: Hub, location: HubLocation): Promise<Lookup> {
  const { endpoint } = hub.settings;
  const unreachable = (why: string): Lookup => ({
    kind: 'unreachable',
    reason: `cannot reach ${endpoint}: ${why}`,
  });
  for (let failures = 1; ; failures++) {
    const answer = await headersOf(hub, location).catch((error) => {
      if (error instanceof ConnectionProblem) return error;
      throw error;
    });
    if (answer instanceof ConnectionProblem) {
      if (!answer.closed || failures === ATTEMPTS) return unreachable(answer.message);
      await pause(attemptDelay(hub, failures), hub.signal);
      continue;
    }
    const { status, headers } = answer;
    if (status < 400 || status === 405 || status === 501) return completed(hub, location, headers);
    const code = headers.get('X-Error-Code');
    if (status === 404 && code !== 'RepoNotFound' && code !== 'RevisionNotFound') return { kind: 'missing' };
    if (code === 'RevisionNotFound') {
      throw new HubError(`${describeLocation(location)}: there is no revision '${location.revision}'`);
    }
    if (!isPassing(status)) throw refusal(hub, location, status, code);
    if (failures === ATTEMPTS) return unreachable(`it answers with status ${status}`);
    await pause(attemptDelay(hub, failures), hub.signal);
  }
}

interface Answer {
  readonly status: number;
  readonly headers: Headers;
}

/** Headers about the file, of whichever of the servers that redirect to each other has them. */
async function headersOf(hub: Hub, { repo, revision, path }: HubLocation): Promise<Answer> {
  const merged = new Headers();
  let url = resolveUrl(hub.settings.endpoint, repo, revision, path);
  for (let redirects = 0; ; redirects++) {
    const { status, headers } = await head(hub, url);
    const target = status >= 300 && status < 400 ? headers.get('Location') : null;
    for (const name of ['X-Repo-Commit', 'X-Linked-Etag', 'X-Linked-Size', 'X-Error-Code']) {
      const value = headers.get(name);
      if (value !== null && !merged.has(name)) merged.set(name, value);
    }
    const enough = merged.has('X-Repo-Commit') && merged.has('X-Linked-Etag') && merged.has('X-Linked-Size');
    if (target !== null && !enough && redirects < MOST_REDIRECTS) {
      url = new URL(target, url).href;
      continue;
    }
    // A redirection's own length and tag are not the file's.
    for (const name of target === null ? ['ETag', 'Content-Length'] : []) {
      const value = headers.get(name);
      if (value !== null) merged.set(name, value);
    }
    return { status: enough ? 200 : status, headers: merged };
  }
}

function head(hub: Hub, url: string): Promise<Response> {
  return connected(hub, (signal) =>
    hub.fetch(url, {
      method: 'HEAD',
      redirect: 'manual',
      headers: { 'Accept-Encoding': 'identity' },
      signal,
    }),
  );
}

async function completed(hub: Hub, location: HubLocation, headers: Headers): Promise<Lookup> {
  const tag = (headers.get('X-Linked-Etag') ?? headers.get('ETag'))?.replace(/^(?:W\/)?"?|"$/g, '');
  const length = headers.get('X-Linked-Size') ?? headers.get('Content-Length');
  let commit = headers.get('X-Repo-Commit') ?? undefined;
  let checksum = tag !== undefined && CHECKSUM.test(tag) ? tag : undefined;
  let size = length === null ? undefined : Number(length);
  if (commit === undefined || checksum === undefined || size === undefined) {
    const listed = await listedFile(hub, location).catch(() => undefined); // mirrors may lack it
    commit ??= listed?.commit;
    checksum ??= listed?.checksum;
    size ??= listed?.size;
  }
  const makesSense = COMMIT.test(commit ?? '') && CHECKSUM.test(checksum ?? '') && Number.isSafeInteger(size);
  if (commit === undefined || checksum === undefined || size === undefined || !makesSense || size < 0) {
    throw new HubError(
      `${describeLocation(location)}: ${hub.settings.endpoint} does not say the commit, checksum and size of the file, ` +
        'as the Hugging Face Hub does; see whether HF_ENDPOINT is right',
    );
  }
  return { kind: 'found', info: { commit, checksum, size } };
}
