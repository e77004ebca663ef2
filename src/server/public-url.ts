/** @file The URL at which clients reach the server, if it differs from where it listens. */

import type { Context } from 'hono';
import { ArgumentError } from '../errors.ts';
import { mountPath } from './request-path.ts';

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
