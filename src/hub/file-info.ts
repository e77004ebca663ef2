/** @file What the hub says of a file before it is downloaded: commit, checksum, size. */

import { z } from 'zod';
import { COMMIT } from './cache.ts';
import { CHECKSUM } from './checksum.ts';
import { badRedirect, ConnectionProblem, connected, failure, type Hub, type HubFile } from './connection.ts';
import { listedFile } from './listing.ts';

const infoSchema = z.object({
  /** The commit that the revision is at. */
  commit: z.string().regex(COMMIT),
  /** SHA-256 or git's object name; see `checksum.ts`. */
  checksum: z.string().regex(CHECKSUM),
  /** Bytes. */
  size: z.int().min(0),
});

/** What the hub says of a file. */
export type FileInfo = Readonly<z.infer<typeof infoSchema>>;

/** The hub's answer. */
export type Lookup =
  | { readonly kind: 'found'; readonly info: FileInfo }
  | { readonly kind: 'missing' }
  | { readonly kind: 'unreachable'; readonly reason: string };

const ATTEMPTS = 3;
const MAX_REDIRECTS = 5;
/** Headers that are taken from the first answer that has them. */
const HEADERS = [
  'X-Repo-Commit',
  'X-Linked-Etag',
  'X-Linked-Size',
  'X-Error-Code',
  'Retry-After',
  'RateLimit',
] as const;

/**
 * Ask the hub about a file. Its headers say all of it, as Python's `huggingface_hub` reads them, on mirrors too; what
 * they lack is asked of the API.
 * @throws {HubError} if the hub denies access, or its answer makes no sense.
 */
export async function lookUp(file: HubFile): Promise<Lookup> {
  for (let failures = 1; ; failures++) {
    try {
      return await attempt(file);
    } catch (error) {
      if (!(error instanceof ConnectionProblem)) throw error;
      if (error.temporary && failures < ATTEMPTS && (await file.waitAfter(error, failures))) continue;
      const { endpoint } = file.hub.settings;
      return { kind: 'unreachable', reason: `cannot reach ${endpoint}: ${error.message}` };
    }
  }
}

/** @throws {ConnectionProblem} if there is no answer, or one that may change at the next attempt. */
async function attempt(file: HubFile): Promise<Lookup> {
  const { status, headers } = await headersOf(file);
  if (status < 400 || status === 405 || status === 501) return completed(file, headers);
  const code = headers.get('X-Error-Code');
  if (status === 404 && code !== 'RepoNotFound' && code !== 'RevisionNotFound') return { kind: 'missing' };
  if (code === 'RevisionNotFound') throw file.error(`there is no revision '${file.location.revision}'`);
  throw failure(file, { status, headers });
}

/** Headers about the file, collected from the servers that redirect to each other. */
async function headersOf(file: HubFile): Promise<Pick<Response, 'status' | 'headers'>> {
  const merged = new Headers();
  let url = file.url(file.location.revision);
  for (let redirects = 0; ; redirects++) {
    const { status, headers } = await head(file.hub, url);
    const target = status >= 300 && status < 400 ? headers.get('Location') : null;
    for (const name of HEADERS) {
      const value = headers.get(name);
      if (value !== null && !merged.has(name)) merged.set(name, value);
    }
    const enough = merged.has('X-Repo-Commit') && merged.has('X-Linked-Etag') && merged.has('X-Linked-Size');
    if (target !== null && !enough && redirects < MAX_REDIRECTS) {
      url = redirected(target, url);
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

/** @throws {HubError} for a URL that cannot be fetched; it may hold a secret and is not quoted. */
function redirected(target: string, base: string): string {
  const url = URL.canParse(target, base) ? new URL(target, base) : undefined;
  if (url && /^https?:$/.test(url.protocol)) return url.href;
  throw badRedirect(base);
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

async function completed(file: HubFile, headers: Headers): Promise<Lookup> {
  const { hub, location } = file;
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
  const { data: info } = infoSchema.safeParse({ commit, checksum, size });
  if (info) return { kind: 'found', info };
  throw file.error(
    `${hub.settings.endpoint} does not say the commit, checksum and size of the file, as the Hugging Face Hub does; ` +
      'see whether HF_ENDPOINT is right',
  );
}
