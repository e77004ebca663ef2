/** @file Origins of pages that may use the server. */

import type { MiddlewareHandler } from 'hono';
import { cors } from 'hono/cors';
import { ApiError, ArgumentError } from '../errors.ts';
import { printable } from '../io/printable.ts';

/** Stands for all origins. */
const ANY = '*';

/** The API's methods. */
const METHODS = ['GET', 'HEAD', 'POST', 'DELETE'];

/** Origins that may use the server, from {@link allowedOrigins}. */
export interface AllowedOrigins {
  /** Origins as browsers send them. */
  readonly origins: readonly string[];
  readonly any: boolean;
}

/**
 * Returns the origins as browsers send them, `https://example.com`: in lower case, without a slash at the end or the
 * scheme's default port. `*` stands for all.
 * @throws {ArgumentError} if one is not an origin
 */
export function allowedOrigins(texts: readonly string[] = []): AllowedOrigins {
  const origins = texts.map((text) => cleanOrigin(text.trim()));
  return { origins, any: origins.includes(ANY) };
}

function cleanOrigin(text: string): string {
  if (text === ANY) return ANY;
  if (/^[a-z][a-z\d+.-]*:\/\/[^/?#@\s*]+\/?$/i.test(text) && URL.canParse(text)) {
    const { origin, protocol, host } = new URL(text);
    // URL computes no origin for schemes other than the web's, such as an extension's.
    return origin === 'null' ? `${protocol}//${host}` : origin;
  }
  const example = /^[\w.-]+(:\d+)?\/?$/.test(text) ? text.replace(/\/$/, '') : 'example.com';
  throw new ArgumentError(
    `'${shownAddress(text)}' is not an origin, which is a scheme and a host: give https://${example} or similar, or * for all`,
  );
}

/** Returns a URL that is safe to show: without user name and password. */
export function shownAddress(text: string): string {
  return printable(text.replace(/^(.*\/\/)?.*@/, '$1...@'));
}

/** Lets pages of some origins use the server, by the CORS protocol. */
export function shareWith({ origins, any }: AllowedOrigins): MiddlewareHandler {
  return cors({ origin: any ? ANY : [...origins], allowMethods: METHODS, exposeHeaders: ['Retry-After'] });
}

export function isAllowed({ origins, any }: AllowedOrigins, origin: string): boolean {
  return any || origins.includes(origin);
}

/** @throws {ApiError} 403 */
export function refuseOrigin(origin: string): never {
  throw new ApiError(
    403,
    'origin_not_allowed',
    `pages of ${printable(origin)} may not use this server; its --cors does not list that origin`,
  );
}
