/** @file The web app's files. What may be fetched is listed when the server starts; no request's path is ever looked up. */

import { createReadStream } from 'node:fs';
import { readdir, stat } from 'node:fs/promises';
import { join, relative, sep } from 'node:path';
import { Readable } from 'node:stream';
import type { Hono } from 'hono';
import { getMimeType } from 'hono/utils/mime';
import { ArgumentError } from '../errors.ts';

/** Files by the paths of their URLs. */
export type StaticFiles = ReadonlyMap<string, StaticFile>;

/** A file on disk that is served. */
export interface StaticFile {
  readonly path: string;
  readonly type: string;
  readonly size: number;
  /** Changes when the file does. */
  readonly tag: string;
}

/**
 * All regular files below a folder; links are left out.
 * @throws {ArgumentError} if there is no `index.html` in it
 */
export async function listStaticFiles(folder: string): Promise<StaticFiles> {
  const entries = await readdir(folder, { recursive: true, withFileTypes: true }).catch(() => []);
  const files = new Map<string, StaticFile>();
  for (const entry of entries) {
    if (!entry.isFile()) continue;
    const path = join(entry.parentPath, entry.name);
    const { size, mtimeMs } = await stat(path);
    const file = {
      path,
      size,
      type: getMimeType(entry.name) ?? 'application/octet-stream',
      tag: `"${size.toString(36)}-${Math.round(mtimeMs).toString(36)}"`,
    };
    const url = `/${relative(folder, path).split(sep).join('/')}`;
    files.set(url, file);
    if (url === '/index.html') files.set('/', file);
  }
  if (!files.has('/')) throw new ArgumentError(`${folder} holds no web app: there is no index.html in it`);
  return files;
}

/** Serve files, such that their pages may use threads: isolated from other origins. */
export function staticRoutes(app: Hono, files: StaticFiles): void {
  app.get('*', async (c, next) => {
    const file = files.get(decodePath(c.req.path));
    if (!file) return next();
    const headers = {
      'content-type': file.type,
      etag: file.tag,
      // Kept, but asked for again with the tag.
      'cache-control': 'no-cache',
      'cross-origin-opener-policy': 'same-origin',
      'cross-origin-embedder-policy': 'require-corp',
      'cross-origin-resource-policy': 'same-origin',
      'x-content-type-options': 'nosniff',
    };
    if (c.req.header('if-none-match') === file.tag) return new Response(null, { status: 304, headers });
    const body = Readable.toWeb(createReadStream(file.path)) as ReadableStream<Uint8Array>;
    return new Response(body, { headers: { ...headers, 'content-length': String(file.size) } });
  });
}

function decodePath(path: string): string {
  try {
    return decodeURIComponent(path);
  } catch {
    return path;
  }
}
