/** @file Paths of requests inside the app, which another server may have mounted below a prefix. */

import type { Context } from 'hono';
import { basePath } from 'hono/route';

/** Returns the path below which the app is mounted, such as `/acdit`; empty at the root. */
export function mountPath(c: Context): string {
  return basePath(c).replace(/\/+$/, '');
}

/** Returns the request's path below {@link mountPath}. */
export function requestPath(c: Context): string {
  return c.req.path.slice(mountPath(c).length) || '/';
}
