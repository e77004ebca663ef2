/** @file Answers as server-sent events, while somebody listens. */

import type { ApiError } from '../errors.ts';
import { errorBody, toApiError } from './problems.ts';

/** Often enough that no proxy takes the connection for dead. */
const HEARTBEAT_MS = 15_000;

/**
 * An answer that sends events as they come, and ends with them. An error becomes the last event, of type `error`.
 * @param signal passed on to whoever makes the events; it is aborted when the client goes
 * @param report is told of errors
 */
export function eventStream<E extends { readonly type: string }>(
  client: AbortSignal,
  events: (signal: AbortSignal) => AsyncIterable<E>,
  report: (error: ApiError) => void,
): Response {
  const gone = new AbortController();
  const signal = AbortSignal.any([client, gone.signal]);
  const encoder = new TextEncoder();
  const source = events(signal)[Symbol.asyncIterator]();
  let heartbeat: NodeJS.Timeout | undefined;
  const body = new ReadableStream<Uint8Array>({
    start(controller) {
      heartbeat = setInterval(() => controller.enqueue(encoder.encode(': still here\n\n')), HEARTBEAT_MS);
      heartbeat.unref();
    },
    // Asked for when the client has taken what there was, so a slow client slows down only its own events.
    async pull(controller) {
      const end = (): void => {
        clearInterval(heartbeat);
        controller.close();
      };
      try {
        const { done, value } = await source.next();
        if (done) end();
        else controller.enqueue(encoder.encode(formatEvent(value)));
      } catch (cause) {
        if (signal.aborted && gone.signal.aborted) return;
        const error = toApiError(cause);
        report(error);
        controller.enqueue(encoder.encode(formatEvent({ type: 'error', ...errorBody(error) })));
        end();
      }
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
