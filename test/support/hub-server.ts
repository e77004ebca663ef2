/**
 * @file A server on loopback that answers as the Hugging Face Hub does: `resolve` with its headers and its redirection
 * to another address for large files, ranges, the listing of a repository. It can be made to misbehave.
 */

import { createHash } from 'node:crypto';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { onTestFinished } from 'vitest';

/** What the server does wrong; may be changed while it runs. */
export interface Faults {
  /** Bytes of content that a connection brings before it is cut, one entry a request; later requests are served whole. */
  drops?: number[];
  /** Send the whole file, whatever range is asked for. */
  ignoreRange?: boolean;
  /** Change the content on its way. */
  corrupt?: boolean;
  /** Send content in pieces of this many bytes, with a pause after each. */
  trickle?: number;
  /** Send this many bytes, then nothing more. */
  stallAfter?: number;
  /** Claim to send this many bytes more than the file has, or fewer. */
  lie?: number;
  /** Answer content with these statuses, one entry a request, before serving it. */
  contentStatuses?: number[];
  /** Answer questions about files with these statuses. */
  lookupStatuses?: number[];
  /** Close this many connections instead of answering a question about a file. */
  lookupDrops?: number;
  /** Ask for this token; without it the answer is `denial`. */
  token?: string;
  denial?: { readonly status: number; readonly code: string };
  /** Redirect small files to another path, which has their checksum. */
  redirectSmall?: boolean;
  /** Leave out these headers, in small letters. */
  hide?: string[];
  /** Know no API. */
  noApi?: boolean;
  /** Other names of the one commit, such as `refs/pr/1`. */
  revisions?: readonly string[];
  /** Ask to wait with each answer of `contentStatuses` and `lookupStatuses`; a header and its value. */
  wait?: readonly [name: string, value: string];
  /** Redirect questions about files, or their content, to this address. */
  redirectLookup?: string;
  redirectContent?: string;
  /** Expect this `Authorization`. */
  authorization?: string;
  /** Answer the question for a list of files with this many bytes, page after page without end. */
  endlessList?: number;
}

export interface Hub {
  readonly endpoint: string;
  readonly commit: string;
  readonly faults: Faults;
  /** What was asked, as `GET /path` and, of content, the range in brackets. */
  readonly requests: string[];
  /** Tokens that came with requests to the address that large files are redirected to. */
  readonly leakedTokens: string[];
  /** Requests for content. */
  contentRequests(): string[];
  close(): Promise<void>;
}

export const sha256 = (bytes: Uint8Array): string => createHash('sha256').update(bytes).digest('hex');
export const gitHash = (bytes: Uint8Array): string =>
  createHash('sha1').update(`blob ${bytes.length}\0`).update(bytes).digest('hex');

/** Files from this size on are large. */
const LARGE = 1000;

/** Starts a hub that ends with the running test. @param files content by `owner/repo/path` */
export async function startHub(files: Readonly<Record<string, Uint8Array>>): Promise<Hub> {
  const hub = await serveHub(files);
  onTestFinished(() => hub.close());
  return hub;
}

/** Starts a hub. @param files content by `owner/repo/path` */
export async function serveHub(files: Readonly<Record<string, Uint8Array>>): Promise<Hub> {
  const commit = sha256(Buffer.from(Object.keys(files).join())).slice(0, 40);
  const faults: Faults = {};
  const requests: string[] = [];
  const leakedTokens: string[] = [];
  // Content comes from another origin, as the hub's does.
  const content = await listen((request, response) => {
    if (request.headers.authorization) leakedTokens.push(request.headers.authorization);
    const [, hash] = /^\/cdn\/(\w+)\?signed$/.exec(request.url ?? '') ?? [];
    const bytes = Object.values(files).find((file) => sha256(file) === hash);
    if (bytes) sendContent(request, response, bytes, faults, requests);
    else response.writeHead(404).end();
  });
  const server = await listen((request, response) =>
    answer(request, response, { files, commit, faults, requests, cdn: content.address }),
  );
  const close = async (): Promise<void> => {
    await Promise.all([server.close(), content.close()]);
  };
  return {
    endpoint: server.address,
    commit,
    faults,
    requests,
    leakedTokens,
    contentRequests: () => requests.filter((request) => request.startsWith('content')),
    close,
  };
}

type Handler = (request: IncomingMessage, response: ServerResponse) => void;

async function listen(handler: Handler): Promise<{ address: string; close(): Promise<void> }> {
  const server = createServer(handler);
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  return {
    address: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    close: () =>
      new Promise((resolve) => {
        server.close(() => resolve());
        server.closeAllConnections();
      }),
  };
}

interface State {
  readonly files: Readonly<Record<string, Uint8Array>>;
  readonly commit: string;
  readonly faults: Faults;
  readonly requests: string[];
  readonly cdn: string;
}

function answer(request: IncomingMessage, response: ServerResponse, state: State): void {
  const { commit, faults, requests } = state;
  const { url = '' } = request;
  requests.push(`${request.method} ${decodeURIComponent(url)}`);
  const { token, authorization = token && `Bearer ${token}` } = faults;
  const authorized = authorization === undefined || request.headers.authorization === authorization;
  if (!authorized) {
    const { status, code } = faults.denial ?? { status: 401, code: 'RepoNotFound' };
    response.writeHead(status, { 'X-Error-Code': code }).end();
    return;
  }
  const api = /^\/api\/models\/([^/]+\/[^/]+)\/(tree|paths-info)\/([^/?]+)/.exec(url);
  if (api) answerApi(request, response, state, api[1]!, api[2]!);
  else {
    const match = /^\/([^/]+\/[^/]+)\/resolve\/([^/]+)\/([^?]+)/.exec(url) ?? [];
    const [, repo, revision = '', path] = match.map(decodeURIComponent);
    const bytes = state.files[`${repo}/${path}`];
    const refuse = (status: number, code: string): unknown =>
      response.writeHead(status, { 'X-Error-Code': code }).end();
    const status = request.method === 'HEAD' ? faults.lookupStatuses?.shift() : undefined;
    if (request.method === 'HEAD' && faults.lookupDrops) {
      faults.lookupDrops--;
      request.socket.destroy();
    } else if (status !== undefined) respondBusy(response, status, faults);
    else if (faults.redirectLookup) response.writeHead(302, { Location: faults.redirectLookup }).end();
    else if (!Object.keys(state.files).some((name) => name.startsWith(`${repo}/`)))
      refuse(404, 'RepoNotFound');
    else if (!['main', commit, ...(faults.revisions ?? [])].includes(revision))
      refuse(404, 'RevisionNotFound');
    else if (!bytes) refuse(404, 'EntryNotFound');
    else resolve(request, response, state, bytes);
  }
}

function resolve(request: IncomingMessage, response: ServerResponse, state: State, bytes: Uint8Array): void {
  const { commit, faults, requests, cdn } = state;
  const large = bytes.length >= LARGE;
  const headers = Object.entries({
    'X-Repo-Commit': commit,
    ETag: `"${large ? 'not-the-checksum' : gitHash(bytes)}"`,
    ...(large && {
      'X-Linked-Etag': `"${sha256(bytes)}"`,
      'X-Linked-Size': String(bytes.length),
      Location: (request.method === 'GET' && faults.redirectContent) || `${cdn}/cdn/${sha256(bytes)}?signed`,
    }),
  }).filter(([name]) => !faults.hide?.includes(name.toLowerCase()));
  for (const [name, value] of headers) response.setHeader(name, value);
  if (large) response.writeHead(302, { 'Content-Length': 5 }).end('moved');
  else if (faults.redirectSmall && !request.url?.endsWith('?cache')) {
    response.removeHeader('ETag');
    response.writeHead(307, { Location: `${request.url}?cache`, 'Content-Length': 5 }).end('moved');
  } else if (request.method === 'HEAD') response.writeHead(200, { 'Content-Length': bytes.length }).end();
  else sendContent(request, response, bytes, faults, requests);
}

function answerApi(
  request: IncomingMessage,
  response: ServerResponse,
  { files, commit, faults }: State,
  repo: string,
  question: string,
): void {
  const entries = Object.entries(files)
    .filter(([name]) => name.startsWith(`${repo}/`))
    .map(([name, bytes]) => ({
      type: 'file',
      path: name.slice(repo.length + 1),
      size: bytes.length,
      oid: gitHash(bytes),
      ...(bytes.length >= LARGE && { lfs: { oid: sha256(bytes), size: bytes.length, pointerSize: 130 } }),
      lastCommit: { id: commit, title: 'a commit', date: '2024-12-10T00:00:00.000Z' },
    }));
  const send = (list: unknown): void => {
    response.writeHead(200, { 'Content-Type': 'application/json' }).end(JSON.stringify(list));
  };
  if (faults.noApi || entries.length === 0) response.writeHead(404).end();
  else if (question === 'tree' && faults.endlessList !== undefined) {
    const folder = { type: 'directory', path: 'x'.repeat(faults.endlessList), size: 0, oid: '' };
    response.setHeader('Link', `<http://${request.headers.host}${request.url}>; rel="next"`);
    send([folder]);
  } else if (question === 'tree') send(entries);
  else {
    let body = '';
    request.on('data', (chunk) => {
      body += chunk;
    });
    request.on('end', () => {
      const { paths } = JSON.parse(body) as { paths: string[] };
      send(entries.filter(({ path }) => paths.includes(path)));
    });
  }
}

function sendContent(
  request: IncomingMessage,
  response: ServerResponse,
  whole: Uint8Array,
  faults: Faults,
  requests: string[],
): void {
  const { range } = request.headers;
  const method = request.method === 'HEAD' ? 'HEAD' : 'content';
  requests.push(`${method} ${request.url}${range ? ` [${range}]` : ''}`);
  const status = faults.contentStatuses?.shift();
  if (status !== undefined) {
    respondBusy(response, status, faults);
    return;
  }
  const from = range && !faults.ignoreRange ? Number(/^bytes=(\d+)-$/.exec(range)![1]) : 0;
  const claimed = whole.length + (faults.lie ?? 0);
  response.setHeader('Content-Length', claimed - from);
  if (from > 0) response.setHeader('Content-Range', `bytes ${from}-${claimed - 1}/${claimed}`);
  response.writeHead(from > 0 ? 206 : 200);
  const bytes = Uint8Array.from(whole.subarray(from));
  if (faults.corrupt) bytes[0]! ^= 1;
  const drop = faults.drops?.shift();
  if (drop !== undefined) {
    response.write(bytes.subarray(0, drop), () => setTimeout(() => response.destroy(), 200));
  } else if (faults.stallAfter !== undefined) response.write(bytes.subarray(0, faults.stallAfter));
  else if (faults.trickle) trickle(response, bytes, faults.trickle);
  else response.end(bytes);
}

function respondBusy(response: ServerResponse, status: number, { wait }: Faults): void {
  response.writeHead(status, wait && { [wait[0]]: wait[1] }).end();
}

function trickle(response: ServerResponse, bytes: Uint8Array, piece: number): void {
  if (response.destroyed) return;
  if (bytes.length === 0) response.end();
  else {
    response.write(bytes.subarray(0, piece));
    setTimeout(() => trickle(response, bytes.subarray(piece), piece), 5);
  }
}
