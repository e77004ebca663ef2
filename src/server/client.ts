/** @file Detects that the client of a request has disconnected. */

import type { Context } from 'hono';
import { clientGone } from './problems.ts';

/** Returns a signal that is aborted when the client closes the connection, with {@link clientGone} as its reason. */
export function clientSignal(c: Context): AbortSignal {
  const controller = new AbortController();
  const { signal } = c.req.raw;
  const leave = (): void => controller.abort(clientGone());
  if (signal.aborted) leave();
  signal.addEventListener('abort', leave, { once: true });
  return controller.signal;
}
