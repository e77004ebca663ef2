/** @file Who may use the server. */

import { createHash, timingSafeEqual } from 'node:crypto';
import type { MiddlewareHandler } from 'hono';
import { ApiError } from '../errors.ts';

/** Requests without the key as a bearer token are refused. No key, no check. */
export function requireKey(key: string | undefined): MiddlewareHandler {
  return async (c, next) => {
    if (key !== undefined && !isKey(c.req.header('authorization'), key)) {
      throw new ApiError(
        401,
        'invalid_api_key',
        'this server wants its API key, in a header: Authorization: Bearer KEY',
      );
    }
    await next();
  };
}

/** Takes as long whatever the two are: digests are compared, which are equally long. */
function isKey(header: string | undefined, key: string): boolean {
  const given = /^Bearer +(.+)$/i.exec(header ?? '')?.[1] ?? '';
  return timingSafeEqual(digest(given), digest(key));
}

function digest(text: string): Buffer {
  return createHash('sha256').update(text).digest();
}
