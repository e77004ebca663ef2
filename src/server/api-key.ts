/** @file Who may use the server. */

import { createHash, timingSafeEqual } from 'node:crypto';
import type { MiddlewareHandler } from 'hono';
import { ApiError } from '../errors.ts';
import { cleanApiKey } from './key-text.ts';

/**
 * Refuses requests without the key as a bearer token. Without a key, every request may pass.
 * @throws {ArgumentError} if the key is empty or cannot be sent: see {@link cleanApiKey}
 */
export function requireKey(key: string | undefined): MiddlewareHandler {
  const expected = key === undefined ? undefined : digest(cleanApiKey(key));
  return async (c, next) => {
    if (expected && !timingSafeEqual(digest(givenKey(c.req.header('authorization'))), expected)) {
      throw new ApiError(
        401,
        'invalid_api_key',
        'this server requires its API key, in a header: Authorization: Bearer KEY',
      );
    }
    await next();
  };
}

function givenKey(header = ''): string {
  return /^Bearer +(.+)$/i.exec(header)?.[1]?.trim() ?? '';
}

/** Digests have the same length for all keys, so comparing them takes the same time. */
function digest(text: string): Buffer {
  return createHash('sha256').update(text).digest();
}
