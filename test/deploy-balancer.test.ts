/** @file The balancer of examples/deploy with a real HAProxy, in front of servers that break in different ways. */

// @module-tag slow

import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync, writeFileSync } from 'node:fs';
import { createServer, type RequestListener } from 'node:http';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { describe, expect, it, onTestFinished } from 'vitest';
import { freePort } from './support/free-port.ts';
import { temporaryFolder } from './support/temporary-folder.ts';

const FILE = fileURLToPath(new URL('../examples/deploy/haproxy.cfg', import.meta.url));
const hasHaproxy = spawnSync('haproxy', ['-v'], { stdio: 'ignore' }).status === 0;
if (!hasHaproxy && process.env.ACDIT_REQUIRE_HAPROXY) throw new Error('haproxy is not installed');

const IMAGES = '/v1/images/generations';
const STREAM = '/v1/acdit/stream';
const VIDEOS = '/v1/videos';

/** A server behind the balancer, which answers as `behave` does and keeps the requests that it got, probes excepted. */
async function startServer(behave: RequestListener) {
  const requests: string[] = [];
  const state = { ready: true };
  const server = createServer((request, response) => {
    if (request.url === '/readyz') return void response.writeHead(state.ready ? 200 : 503).end();
    let body = '';
    request.on('data', (chunk) => (body += chunk));
    request.on('end', () => {
      requests.push(`${request.method} ${request.url} ${body}`);
      behave(request, response);
    });
  });
  await once(server.listen(0, '127.0.0.1'), 'listening');
  const stop = () => {
    server.closeAllConnections();
    server.close();
  };
  onTestFinished(stop);
  return { requests, state, stop, port: (server.address() as AddressInfo).port };
}

/** Starts the balancer with its own configuration, except for the addresses of servers. @returns its URL */
async function startBalancer(...ports: readonly number[]): Promise<string> {
  const port = await freePort();
  const servers = ports.map((server, i) => `  server s${i} 127.0.0.1:${server}`).join('\n');
  const configuration = readFileSync(FILE, 'utf8')
    .replace('bind :8000', `bind 127.0.0.1:${port}`)
    .replace(/^ *server-template .*$/m, servers);
  const file = join(temporaryFolder(), 'haproxy.cfg');
  writeFileSync(file, configuration);
  const child: ChildProcess = spawn('haproxy', ['-db', '-f', file], { stdio: 'ignore' });
  onTestFinished(() => void child.kill('SIGKILL'));
  const url = `http://127.0.0.1:${port}`;
  for (;;) {
    if (child.exitCode !== null) throw new Error('haproxy ended');
    const answers = await fetch(`${url}/readyz`).then(
      ({ ok }) => ok,
      () => false,
    );
    if (answers) return url;
    await sleep(50);
  }
}

const post = (url: string, body = '{}') =>
  fetch(url, { method: 'POST', body, headers: { 'content-type': 'application/json' } });
const works: RequestListener = (_, response) => void response.end('made');
const breaks: RequestListener = ({ socket }) => void socket.destroy();
const resets: RequestListener = ({ socket }) => void socket.resetAndDestroy();
const refuses: RequestListener = (_, response) => void response.writeHead(503).end('stopping');

/** Sends requests until the bad server has had one, which is the first or second. */
async function askBoth(url: string, path: string, body?: string): Promise<[status: number, text: string][]> {
  const answers: [number, string][] = [];
  for (let i = 0; i < 2; i++) {
    const response = await post(url + path, body);
    answers.push([response.status, await response.text()]);
  }
  return answers;
}

describe.runIf(hasHaproxy)('the balancer', () => {
  it('has a valid configuration', () => {
    const { status, stderr } = spawnSync('haproxy', ['-c', '-f', FILE]);
    expect([status, stderr.toString()]).toEqual([0, expect.not.stringContaining('WARNING')]);
  });

  it.each([
    ['ends', breaks],
    ['is killed', resets],
    ['is stopping', refuses],
  ])('repeats a request elsewhere if its server %s before a byte of a response', async (_, behave) => {
    const bad = await startServer(behave);
    const good = await startServer(works);
    const url = await startBalancer(bad.port, good.port);
    const body = JSON.stringify({ prompt: 'x'.repeat(60_000) });
    expect(await askBoth(url, IMAGES, body)).toEqual([
      [200, 'made'],
      [200, 'made'],
    ]);
    expect(bad.requests).toEqual([`POST ${IMAGES} ${body}`]);
    expect(good.requests).toEqual([`POST ${IMAGES} ${body}`, `POST ${IMAGES} ${body}`]);
  });

  it('never repeats a response that broke off: its client gets an error', async () => {
    const bad = await startServer((_, response) => {
      response.writeHead(200, { 'content-type': 'text/event-stream' });
      response.write('event: started\n\n', () => setTimeout(() => response.destroy(), 100));
    });
    const good = await startServer(works);
    const url = await startBalancer(bad.port, good.port);
    const answers = await Promise.allSettled([1, 2].map(async () => (await post(url + STREAM)).text()));
    expect(answers.map(({ status }) => status).sort()).toEqual(['fulfilled', 'rejected']);
    expect([bad.requests.length, good.requests.length]).toEqual([1, 1]);
  });

  it('never asks two servers for one new video, unless one cannot be reached', async () => {
    const bad = await startServer(breaks);
    const good = await startServer(works);
    const url = await startBalancer(bad.port, good.port);
    // It answers with 502, or closes the connection.
    const made = () =>
      post(url + VIDEOS).then(
        ({ ok }) => ok,
        () => false,
      );
    expect([await made(), await made()].sort()).toEqual([false, true]);
    expect([bad.requests.length, good.requests.length]).toEqual([1, 1]);
    bad.stop();
    expect([await made(), await made()]).toEqual([true, true]);
  });

  it('sends nothing more to a server that drains, within 4 s', async () => {
    const draining = await startServer(works);
    const good = await startServer(works);
    const url = await startBalancer(draining.port, good.port);
    draining.state.ready = false;
    await sleep(4000);
    for (let i = 0; i < 6; i++) expect((await post(url + IMAGES)).status).toBe(200);
    expect([draining.requests.length, good.requests.length]).toEqual([0, 6]);
  });

  it('gives requests an id, and hides the metrics', async () => {
    const ids: unknown[] = [];
    const { port } = await startServer(({ headers }, response) => {
      ids.push(headers['x-request-id']);
      response.end();
    });
    const url = await startBalancer(port);
    await fetch(url, { headers: { 'x-request-id': 'mine' } });
    await fetch(url);
    expect(ids).toEqual(['mine', expect.stringMatching(/^[\da-f]{8}(-[\da-f]{4}){3}-[\da-f]{12}$/)]);
    expect((await fetch(`${url}/metrics`)).status).toBe(404);
  });
});
