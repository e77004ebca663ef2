/** @file A port that the server listens on, from before its models are loaded to a graceful end. */

import { createServer, type Server } from 'node:http';
import type { AddressInfo, Socket } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import { getRequestListener } from '@hono/node-server';
import { AcditError, ApiError, ArgumentError } from '../errors.ts';
import { printable } from '../io/printable.ts';
import { milliseconds } from './milliseconds.ts';
import { errorResponse } from './problems.ts';

/** A function from requests to answers. */
type Fetch = (request: Request) => Response | Promise<Response>;

/** Address to listen on, and time limits for clients. */
export interface ListenOptions {
  /** A name or IP address; IPv6 addresses may be in brackets. */
  readonly host: string;
  /** 0 for any free port. */
  readonly port: number;
  /** Seconds after which a client that reads nothing is disconnected. */
  readonly unread: number;
}

/** A server on a port. */
export interface Listener {
  /** Without a slash at the end. */
  readonly url: string;
  /** The IP address that it listens on. */
  readonly address: string;
  /** Answers requests by this function from now on; until then they get 503. */
  answer(fetch: Fetch): void;
  /**
   * Answers requests until none is in progress and `idle` resolves, for at most `grace` seconds. Then it ends.
   * @param giveUp called before the end, to abort what is still in progress
   */
  close(grace: number, idle: () => Promise<void>, giveUp: () => void): Promise<void>;
}

/** Milliseconds for a client to send its headers, and its whole request. */
const TIMEOUTS = { headersTimeout: 10_000, requestTimeout: 30_000, keepAliveTimeout: 5_000 } as const;
/** Milliseconds between checks whether an ending server is idle. */
const IDLE_INTERVAL = 50;
/** Milliseconds to send the responses of aborted requests. */
const LAST_ANSWERS = 1000;

/**
 * Listens on a port.
 * @throws {ArgumentError} if the port is not a port
 * @throws {AcditError} if the address or port is not available
 */
export async function listen({ host, port, unread }: ListenOptions): Promise<Listener> {
  if (!Number.isInteger(port) || port < 0 || port > 65_535) {
    throw new ArgumentError(`the port must be a whole number from 0 to 65535, got ${port}`);
  }
  const name = host.replace(/^\[(.*)\]$/, '$1');
  let answer = getRequestListener(() => errorResponse(loading()));
  const server = createServer(TIMEOUTS, (request, response) => void answer(request, response));
  const running = runningRequests(server);
  server.setTimeout(milliseconds(unread), (socket) => {
    // An idle connection is closed. One with a request but nothing to send waits for us.
    if (!running.has(socket) || socket.writableLength > 0) socket.destroy();
  });
  await bind(server, name, port);
  const { address, port: actual } = server.address() as AddressInfo;
  return {
    url: `http://${name.includes(':') ? `[${name}]` : name}:${actual}`,
    address,
    answer(fetch) {
      answer = getRequestListener(fetch);
    },
    async close(grace, idle, giveUp) {
      await within(grace, async (late) => {
        do {
          await idle();
          await sleep(IDLE_INTERVAL);
        } while (running.size > 0 && !late.aborted);
      });
      giveUp();
      await end(server);
    },
  };
}

function loading(): ApiError {
  return new ApiError(503, 'loading', 'the server is loading its models', { retryAfter: 5 });
}

function bind(server: Server, host: string, port: number): Promise<void> {
  return new Promise((resolve, reject) => {
    const fail = (cause: NodeJS.ErrnoException): void => {
      reject(
        new AcditError(`cannot listen on ${printable(host)}, port ${port}: ${reasonOf(cause)}`, { cause }),
      );
    };
    server.once('error', fail);
    server.listen(port, host, () => {
      server.off('error', fail);
      resolve();
    });
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

/** Waits for `work`, but no longer than some seconds; then its signal is aborted. */
async function within(seconds: number, work: (late: AbortSignal) => Promise<void>): Promise<void> {
  const late = new AbortController();
  const timeout = new Promise<void>((resolve) => late.signal.addEventListener('abort', () => resolve()));
  const timer = setTimeout(() => late.abort(), milliseconds(seconds));
  await Promise.race([work(late.signal), timeout]);
  clearTimeout(timer);
}

/** Closes each connection when its answer is sent, or after a moment. */
async function end(server: Server): Promise<void> {
  const closed = new Promise<void>((resolve) => server.close(() => resolve()));
  const idle = setInterval(() => server.closeIdleConnections(), IDLE_INTERVAL);
  const rest = setTimeout(() => server.closeAllConnections(), LAST_ANSWERS);
  await closed;
  clearInterval(idle);
  clearTimeout(rest);
}
