/**
 * @file The web app's files. What may be fetched is listed when the server starts; no request's path is ever looked up.
 */

import { constants } from 'node:fs';
import { type FileHandle, lstat, open, readdir, readFile } from 'node:fs/promises';
import { join, relative, sep } from 'node:path';
import { Readable } from 'node:stream';
import type { Context, Hono } from 'hono';
import { getMimeType } from 'hono/utils/mime';
import { attempt } from '../attempt.ts';
import { ApiError, ArgumentError } from '../errors.ts';
import { requestPath } from './addresses.ts';
import { methodNotAllowed } from './problems.ts';

/** Files by the paths of their URLs. */
export type StaticFiles = ReadonlyMap<string, StaticFile>;

/** A file on disk that is served. */
export interface StaticFile {
  readonly path: string;
  readonly type: string;
}

/** What a built app lists of its files that are copies of files of the package: their paths there, by their own. */
const SHARED_FILES = 'shared-files.json';

/**
 * Lists all regular files below a folder; links are left out.
 * @param packageFolder the package that a built app is part of: the originals of the files that the package leaves out of
 * it, since it contains them already, are listed in their place
 * @throws {ArgumentError} if there is no `index.html` in it, or an original is missing
 */
export async function listStaticFiles(folder: string, packageFolder?: string): Promise<StaticFiles> {
  const entries = await readdir(folder, { recursive: true, withFileTypes: true }).catch(() => []);
  const files = new Map<string, StaticFile>();
  for (const entry of entries) {
    if (!entry.isFile()) continue;
    const path = join(entry.parentPath, entry.name);
    const file = staticFile(path);
    const url = `/${relative(folder, path).split(sep).join('/')}`;
    files.set(url, file);
    if (url === '/index.html') files.set('/', file);
  }
  if (!files.has('/')) throw new ArgumentError(`${folder} holds no web app: there is no index.html in it`);
  if (packageFolder !== undefined) await addShared(files, packageFolder);
  return files;
}

async function addShared(files: Map<string, StaticFile>, packageFolder: string): Promise<void> {
  const list = files.get(`/${SHARED_FILES}`);
  if (!list) return;
  const shared: Readonly<Record<string, string>> = JSON.parse(await readFile(list.path, 'utf8'));
  for (const [url, original] of Object.entries(shared)) {
    if (files.has(`/${url}`)) continue;
    const path = join(packageFolder, original);
    const found = await lstat(path).catch(() => undefined);
    if (!found?.isFile()) {
      throw new ArgumentError(`${path}, which the web app needs, is missing; install acdit again`);
    }
    files.set(`/${url}`, staticFile(path));
  }
}

function staticFile(path: string): StaticFile {
  return { path, type: getMimeType(path) ?? 'application/octet-stream' };
}

/** Serves files, isolated from other origins so that their pages may use threads. */
export function staticRoutes(app: Hono, files: StaticFiles): void {
  app.use('*', async (c, next) => {
    const path = requestPath(c);
    const file = files.get(attempt(() => decodeURIComponent(path), path));
    if (!file) return next();
    if (c.req.method !== 'GET' && c.req.method !== 'HEAD') throw methodNotAllowed(c, ['GET', 'HEAD']);
    return answer(c, file);
  });
}

/** The descriptor is closed at the end of the stream, or here if no stream is sent. */
async function answer(c: Context, { path, type }: StaticFile): Promise<Response> {
  const handle = await openRegular(path);
  let streaming = false;
  try {
    const { size, mtimeMs } = await handle.stat();
    const tag = `"${size.toString(36)}-${Math.round(mtimeMs).toString(36)}"`;
    const headers = {
      'content-type': type,
      etag: tag,
      // Kept, but asked for again with the tag.
      'cache-control': 'no-cache',
      'cross-origin-opener-policy': 'same-origin',
      'cross-origin-embedder-policy': 'require-corp',
      'cross-origin-resource-policy': 'same-origin',
      'x-content-type-options': 'nosniff',
    };
    if (c.req.header('if-none-match') === tag) return new Response(null, { status: 304, headers });
    const sized = { headers: { ...headers, 'content-length': String(size) } };
    if (c.req.method === 'HEAD' || size === 0) return new Response(null, sized);
    streaming = true;
    // If a file grows meanwhile, only the length in the headers is sent.
    return new Response(Readable.toWeb(handle.createReadStream({ end: size - 1 })) as ReadableStream, sized);
  } finally {
    if (!streaming) await handle.close();
  }
}

/** Opens a file that was regular when the server started. @throws {ApiError} 404 if it no longer is */
async function openRegular(path: string): Promise<FileHandle> {
  const { O_RDONLY, O_NOFOLLOW = 0, O_NONBLOCK = 0 } = constants;
  const gone = new ApiError(404, 'not_found', 'this file of the web app no longer exists');
  const handle = await open(path, O_RDONLY | O_NOFOLLOW | O_NONBLOCK).catch((error) => {
    throw ['ENOENT', 'ENOTDIR', 'ELOOP', 'ENXIO'].includes(error.code) ? gone : error;
  });
  if ((await handle.stat()).isFile()) return handle;
  await handle.close();
  throw gone;
}
