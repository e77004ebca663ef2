/** @file Answers as server-sent events, while somebody listens. */

import type { Context } from 'hono';
import type { ServerContext } from './context.ts';
import { errorBody, toApiError } from './problems.ts';

/** Often enough that no proxy takes the connection for dead. */
const HEARTBEAT_MS = 15_000;

/**
 * An answer that sends events as they come, and ends with them. An error becomes the last event, of type `error`.
 * @param events gets a signal that is aborted when the client goes
 */
export function eventStream<E extends { readonly type: string }>(
  c: Context,
  { log }: ServerContext,
  events: (client: AbortSignal) => AsyncIterable<E>,
): Response {
  const gone = new AbortController();
  const client = AbortSignal.any([c.req.raw.signal, gone.signal]);
  const source = events(client)[Symbol.asyncIterator]();
  const encoder = new TextEncoder();
  let heartbeat: NodeJS.Timeout | undefined;
  const body = new ReadableStream<Uint8Array>({
    start(controller) {
      heartbeat = setInterval(() => {
        const reads = (controller.desiredSize ?? 0) > 0;
        if (reads) controller.enqueue(encoder.encode(': still here\n\n'));
      }, HEARTBEAT_MS);
      heartbeat.unref();
    },
    // Asked for when the client has taken what there was: a slow client makes nobody wait but itself.
    async pull(controller) {
      try {
        const { done, value } = await source.next();
        if (!done) {
          controller.enqueue(encoder.encode(formatEvent(value)));
          return;
        }
      } catch (cause) {
        if (gone.signal.aborted) return;
        const error = toApiError(cause);
        log(error);
        controller.enqueue(encoder.encode(formatEvent({ type: 'error', ...errorBody(error) })));
      }
      clearInterval(heartbeat);
      controller.close();
    },
    async cancel() {
      clearInterval(heartbeat);
      gone.abort(new Error('the client went away'));
      await source.return?.();
    },
  });
  return new Response(body, {
    headers: {
      'content-type': 'text/event-stream; charset=utf-8',
      'cache-control': 'no-cache, no-transform',
      'x-accel-buffering': 'no',
    },
  });
}

/** One event: its type as its name, and itself as JSON. */
function formatEvent(event: { readonly type: string }): string {
  return `event: ${event.type}\ndata: ${JSON.stringify(event)}\n\n`;
}
