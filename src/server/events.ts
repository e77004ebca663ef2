/** @file Server-sent events, for as long as the client reads them. */

import type { UnderlyingSource } from 'node:stream/web';
import type { Context } from 'hono';
import { ApiError } from '../errors.ts';
import type { ServerContext } from './context.ts';
import { clientGone, errorBody, toApiError } from './problems.ts';
import type { RequestNames } from './request-names.ts';
import { milliseconds } from './time.ts';

/** Often enough that no proxy takes the connection for dead. */
const HEARTBEAT_MS = 15_000;

interface Event {
  readonly type: string;
}

/**
 * Returns a response that sends events as they come, and ends with them. An error becomes the last event, of type
 * `error`. If a client leaves events unread for too long, its work is stopped, since others may be waiting.
 * @param events gets a signal that is aborted when the client no longer reads; errors that it throws at once are thrown
 * here
 */
export function eventStream<E extends Event>(
  c: Context,
  context: ServerContext,
  events: (client: AbortSignal) => AsyncIterable<E>,
): Response {
  const stopped = new AbortController();
  const client = AbortSignal.any([clientSignal(c), stopped.signal]);
  const source = events(client)[Symbol.asyncIterator]();
  let end = (_error?: string): void => {};
  c.set(
    'ended',
    new Promise<string | undefined>((resolve) => {
      end = resolve;
    }),
  );
  const stream = { source, client, stopped, names: c.get('names'), end };
  return new Response(new ReadableStream(eventSource(stream, context)), {
    headers: {
      'content-type': 'text/event-stream; charset=utf-8',
      'cache-control': 'no-cache, no-transform',
      'x-accel-buffering': 'no',
    },
  });
}

/** Returns a signal that is aborted when the client closes the connection, with {@link clientGone} as its reason. */
export function clientSignal(c: Context): AbortSignal {
  const controller = new AbortController();
  const { signal } = c.req.raw;
  const leave = (): void => controller.abort(clientGone());
  if (signal.aborted) leave();
  signal.addEventListener('abort', leave, { once: true });
  return controller.signal;
}

interface EventStream<E extends Event> {
  readonly source: AsyncIterator<E>;
  /** Aborted when the client no longer reads. */
  readonly client: AbortSignal;
  /** Aborts `client`. */
  readonly stopped: AbortController;
  readonly names: RequestNames;
  /** Told when the stream has ended, with the code of its error, if there was one. */
  end(error?: string): void;
}

function eventSource<E extends Event>(
  { source, client, stopped, names, end }: EventStream<E>,
  { log, limits: { unread } }: ServerContext,
): UnderlyingSource<Uint8Array> {
  const encoder = new TextEncoder();
  let heartbeat: NodeJS.Timeout | undefined;
  let patience: NodeJS.Timeout | undefined;
  let left = false;

  function stop(reason: ApiError): void {
    clearTimeout(patience);
    end(reason.code);
    stopped.abort(reason);
    Promise.resolve(source.return?.()).catch(() => {}); // why it ended is known
  }

  function giveUp(): void {
    const unreadFor = `the stream was not read for ${unread} seconds, so its work was stopped`;
    stop(new ApiError(408, 'stream_unread', unreadFor));
  }

  return {
    start(controller) {
      heartbeat = setInterval(() => {
        const reads = (controller.desiredSize ?? 0) > 0;
        if (reads) controller.enqueue(encoder.encode(': still here\n\n'));
      }, HEARTBEAT_MS);
      heartbeat.unref();
    },
    // Called once the client has read everything so far, so a slow client delays only itself.
    async pull(controller) {
      clearTimeout(patience);
      try {
        client.throwIfAborted();
        const { done, value } = await source.next();
        if (left) return;
        if (!done) {
          controller.enqueue(encoder.encode(formatEvent(value)));
          patience = setTimeout(giveUp, milliseconds(unread)).unref();
          return;
        }
      } catch (cause) {
        if (left) return;
        const error = toApiError(cause);
        log(error, names);
        end(error.code);
        if (error.status === 499) return; // there is nobody to tell
        controller.enqueue(encoder.encode(formatEvent({ type: 'error', ...errorBody(error, names) })));
      }
      end();
      clearInterval(heartbeat);
      controller.close();
    },
    cancel() {
      left = true;
      clearInterval(heartbeat);
      stop(clientGone());
    },
  };
}

/** One event: its type as its name, and itself as JSON. */
function formatEvent(event: Event): string {
  return `event: ${event.type}\ndata: ${JSON.stringify(event)}\n\n`;
}
