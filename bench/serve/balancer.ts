/**
 * @file A load balancer with the rules of examples/deploy/haproxy.cfg: a request that has had no byte of a response is
 * sent to another server. A response that breaks off is never repeated; a stream of events then ends with an error event,
 * which HAProxy cannot add.
 */

import { once } from 'node:events';
import { createServer, type IncomingMessage, request as open, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { at } from '../../src/at.ts';
import type { ErrorBody } from '../../src/server/api.ts';

/** What a balancer did. */
export interface BalancerCounts {
  /** Requests that were sent to another server. */
  repeated: number;
  /** Streams that broke off, and were ended with an error event. */
  brokenStreams: number;
  /** Other responses that broke off, whose connections were closed. */
  brokenResponses: number;
  /** Requests that no server answered, which got 502. */
  unanswered: number;
}

/** A running balancer. */
export interface Balancer {
  readonly url: string;
  readonly counts: Readonly<BalancerCounts>;
  close(): Promise<void>;
}

/** `refused`: the server did not get the request. `silent`: it got it, and ended without a byte. */
type Outcome = 'answered' | 'refused' | 'silent';

interface Exchange {
  readonly request: IncomingMessage;
  readonly body: Buffer;
  readonly response: ServerResponse;
}

const GONE: ErrorBody = {
  error: {
    message: 'the server of this stream ended; ask again with the same seed for the same images',
    type: 'server_error',
    param: null,
    code: 'server_gone',
  },
};

/** Starts a balancer before servers, which get new requests in turn. @param servers their URLs */
export async function startBalancer(servers: readonly string[]): Promise<Balancer> {
  const counts: BalancerCounts = { repeated: 0, brokenStreams: 0, brokenResponses: 0, unanswered: 0 };
  /** Servers that refused the latest request are asked last. */
  const refusing = new Set<string>();
  let turn = 0;

  function inTurn(): string[] {
    turn++;
    const all = servers.map((_, i) => at(servers, (turn + i) % servers.length));
    return [
      ...all.filter((server) => !refusing.has(server)),
      ...all.filter((server) => refusing.has(server)),
    ];
  }

  async function forward(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const exchange = { request, body: Buffer.concat(await request.toArray()), response };
    // A server may have stored a new video before it ended: another attempt could make it twice.
    const repeatable = request.method !== 'POST' || request.url !== '/v1/videos';
    for (const [i, server] of inTurn().entries()) {
      if (i > 0) counts.repeated++;
      const outcome = await ask(server, exchange, counts);
      if (outcome === 'answered') return;
      if (outcome === 'refused') refusing.add(server);
      if (outcome === 'silent' && !repeatable) break;
    }
    counts.unanswered++;
    response.writeHead(502, { 'content-type': 'application/json' }).end(JSON.stringify(GONE));
  }

  const balancer = createServer((request, response) => {
    forward(request, response).catch(() => response.destroy()); // the client left
  });
  await once(balancer.listen(0, '127.0.0.1'), 'listening');
  return {
    url: `http://127.0.0.1:${(balancer.address() as AddressInfo).port}`,
    counts,
    async close() {
      balancer.closeAllConnections();
      await once(balancer.close(), 'close');
    },
  };
}

/** Sends a request to a server, and its response to the client. */
function ask(
  server: string,
  { request, body, response }: Exchange,
  counts: BalancerCounts,
): Promise<Outcome> {
  return new Promise((resolve) => {
    const { method = 'GET', headers, url = '/' } = request;
    const upstream = open(new URL(url, server), { method, headers, agent: false });
    const leave = (): void => void upstream.destroy();
    response.once('close', leave);
    upstream.once('error', (error: NodeJS.ErrnoException) => {
      response.off('close', leave);
      if (response.destroyed) resolve('answered');
      else resolve(error.code === 'ECONNREFUSED' ? 'refused' : 'silent');
    });
    upstream.once('response', (answer) => {
      resolve('answered');
      void relay(answer, response, counts);
    });
    upstream.end(body);
  });
}

/** Passes a response on. */
async function relay(
  answer: IncomingMessage,
  response: ServerResponse,
  counts: BalancerCounts,
): Promise<void> {
  const isStream = answer.headers['content-type']?.startsWith('text/event-stream') === true;
  response.writeHead(answer.statusCode ?? 502, answer.headers);
  response.flushHeaders();
  try {
    for await (const part of isStream ? wholeEvents(answer) : answer) {
      if (!response.write(part)) await Promise.race([once(response, 'drain'), once(response, 'close')]);
    }
    response.end();
  } catch {
    if (response.destroyed) return; // the client left
    if (isStream) {
      counts.brokenStreams++;
      response.end(`event: error\ndata: ${JSON.stringify({ type: 'error', ...GONE })}\n\n`);
    } else {
      counts.brokenResponses++;
      response.destroy();
    }
  }
}

/** Yields events as they become complete, so that none is cut off in the middle. */
async function* wholeEvents(answer: AsyncIterable<Buffer>): AsyncGenerator<Buffer, void, void> {
  let rest = '';
  for await (const bytes of answer) {
    rest += bytes.toString('latin1');
    const end = rest.lastIndexOf('\n\n') + 2;
    if (end < 2) continue;
    yield Buffer.from(rest.slice(0, end), 'latin1');
    rest = rest.slice(end);
  }
}
