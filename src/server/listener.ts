/** @file A port that the server listens on, from before its models are loaded to a graceful end. */

import { once } from 'node:events';
import { createServer, type Server } from 'node:http';
import type { AddressInfo, Socket } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import { getRequestListener } from '@hono/node-server';
import { AcditError, ApiError, ArgumentError } from '../errors.ts';
import { printable } from '../io/printable.ts';
import { PATHS } from './api.ts';
import { alive } from './health.ts';
import { errorResponse } from './problems.ts';
import { milliseconds, whenAborted } from './time.ts';

/** A server on a port. */
export type Listener = Awaited<ReturnType<typeof listen>>;

/** Milliseconds for a client to send its headers, and its whole request. */
const TIMEOUTS = { headersTimeout: 10_000, requestTimeout: 30_000, keepAliveTimeout: 5_000 } as const;
/** Milliseconds between checks whether an ending server is idle. */
const IDLE_INTERVAL = 50;
/** Milliseconds to send the responses of aborted requests. */
const LAST_ANSWERS = 1000;

/**
 * Listens on a port, or for port 0 on any that is free.
 * @param host a name or IP address; IPv6 addresses may be in brackets
 * @param unread seconds after which a client that reads nothing is disconnected
 * @throws {ArgumentError} if the port is not a port
 * @throws {AcditError} if the address or port is not available
 */
export async function listen({ host, port, unread }: { host: string; port: number; unread: number }) {
  if (!Number.isInteger(port) || port < 0 || port > 65_535) {
    throw new ArgumentError(`the port must be a whole number from 0 to 65535, got ${port}`);
  }
  const name = host.replace(/^\[(.*)\]$/, '$1');
  let answer = getRequestListener(answerWhileLoading);
  const server = createServer(TIMEOUTS, (request, response) => void answer(request, response));
  const running = runningRequests(server);
  server.setTimeout(milliseconds(unread), (socket) => {
    // An idle connection is closed. One with a request but nothing to send waits for us.
    if (!running.has(socket) || socket.writableLength > 0) socket.destroy();
  });
  await bind(server, name, port);
  const { address, port: actual } = server.address() as AddressInfo;
  return {
    /** Without a slash at the end. */
    url: `http://${name.includes(':') ? `[${name}]` : name}:${actual}`,
    /** The IP address that it listens on. */
    address,
    /** Answers requests by this function from now on; until then they get 503. */
    answer(fetch: (request: Request) => Response | Promise<Response>): void {
      answer = getRequestListener(fetch);
    },
    /**
     * Answers requests until none is in progress and `idle` resolves, for at most `grace` seconds. Then it ends.
     * @param giveUp called before the end, to abort what is still in progress
     */
    async close(grace: number, idle = async () => {}, giveUp = () => {}): Promise<void> {
      const late = AbortSignal.timeout(milliseconds(grace));
      async function untilIdle(): Promise<void> {
        do {
          await idle();
          await sleep(IDLE_INTERVAL);
        } while (running.size > 0 && !late.aborted);
      }
      await Promise.race([untilIdle(), whenAborted(late)]);
      giveUp();
      await end(server);
    },
  };
}

/** The process is alive meanwhile, so a probe of that must not end it. */
function answerWhileLoading({ url }: Request): Response {
  if (new URL(url).pathname === PATHS.live) return alive();
  return errorResponse(new ApiError(503, 'loading', 'the server is loading its models', { retryAfter: 5 }));
}

async function bind(server: Server, host: string, port: number): Promise<void> {
  server.listen(port, host);
  await once(server, 'listening').catch((cause) => {
    throw new AcditError(`cannot listen on ${printable(host)}, port ${port}: ${reasonOf(cause)}`, { cause });
  });
}

function reasonOf({ code, message }: NodeJS.ErrnoException): string {
  if (code === 'EADDRINUSE') return 'the port is in use; give another with --port';
  if (code === 'EACCES') return 'the port is not permitted for this user; give one above 1023 with --port';
  if (code === 'EADDRNOTAVAIL' || code === 'EINVAL')
    return 'this machine does not have the address; see --host';
  if (code === 'ENOTFOUND' || code === 'EAI_AGAIN' || code === 'EAI_FAIL') {
    return 'the host is unknown; give --host a name or IP address of this machine, without scheme or port';
  }
  return message;
}

/** Returns the connections with an unanswered request. */
function runningRequests(server: Server): ReadonlySet<Socket> {
  const running = new Set<Socket>();
  server.on('request', ({ socket }, response) => {
    running.add(socket);
    response.once('close', () => running.delete(socket));
  });
  return running;
}

/** Closes each connection when its answer is sent, or after a moment. */
async function end(server: Server): Promise<void> {
  const closed = once(server.close(), 'close');
  const idle = setInterval(() => server.closeIdleConnections(), IDLE_INTERVAL);
  const rest = setTimeout(() => server.closeAllConnections(), LAST_ANSWERS);
  await closed;
  clearInterval(idle);
  clearTimeout(rest);
}
