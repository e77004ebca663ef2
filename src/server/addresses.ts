/** @file Where clients reach the server: behind a proxy, or in an app that another server has mounted below a prefix. */

import type { Context } from 'hono';
import { basePath } from 'hono/route';
import { ArgumentError } from '../errors.ts';

/**
 * Returns the URL that clients use, without a slash at its end.
 * @throws {ArgumentError} if it is not an http or https URL, or has parts that a server's URL cannot have
 */
export function cleanPublicUrl(text: string): string {
  const url = URL.canParse(text) ? new URL(text) : undefined;
  if (!url || !/^https?:$/.test(url.protocol) || url.search || url.hash || url.username || url.password) {
    throw new ArgumentError(
      'the public URL must be an http or https URL without user name, query and fragment, such as https://example.com/acdit',
    );
  }
  return url.href.replace(/\/+$/, '');
}

/** Returns the URL of a path of the API for the client: below the public URL, or else below that of this request. */
export function addressOf(c: Context, publicUrl: string | undefined, path: string): string {
  return `${publicUrl ?? new URL(c.req.url).origin + mountPath(c)}${path}`;
}

/** Returns the path below which the app is mounted, such as `/acdit`; empty at the root. */
export function mountPath(c: Context): string {
  return basePath(c).replace(/\/+$/, '');
}

/** Returns the request's path below {@link mountPath}. */
export function requestPath(c: Context): string {
  return c.req.path.slice(mountPath(c).length) || '/';
}
