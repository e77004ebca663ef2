/** @file The server on a real port, with clients that leave, do not read, or are many. */
// @module-tag slow

import { readdirSync, rmSync, writeFileSync } from 'node:fs';
import { request as httpRequest } from 'node:http';
import { connect, type Socket } from 'node:net';
import { join } from 'node:path';
import { describe, expect, it, onTestFinished, vi } from 'vitest';
import type { Video } from '../../src/server/api.ts';
import { listen } from '../../src/server/listener.ts';
import { listStaticFiles } from '../../src/server/static-files.ts';
import { temporaryFolder } from '../support/temporary-folder.ts';
import { errorOf, heldSampler, type TinyServerOptions, tinyServer } from '../support/tiny-server.ts';

const IMAGES = '/v1/images/generations';
const STREAM = '/v1/acdit/stream';
const JSON_TYPE = { 'content-type': 'application/json' };

/** A tiny server on a port. */
async function listening(options: TinyServerOptions = {}, unread = 30) {
  const server = await tinyServer({ ...options, limits: { unread, ...options.limits } });
  const listener = await listen({ host: '127.0.0.1', port: 0, unread });
  listener.answer(server.app.fetch);
  onTestFinished(() => listener.close(0, async () => {}, server.close));
  const { url } = listener;
  const post = (path: string, body: object, init: RequestInit = {}): Promise<Response> =>
    fetch(url + path, { method: 'POST', headers: JSON_TYPE, body: JSON.stringify(body), ...init });
  return { ...server, listener, url, post };
}

/** A web app with a file that does not fit into one read. */
function webFolder(size = 1_000_000): string {
  const folder = temporaryFolder();
  writeFileSync(join(folder, 'index.html'), '<title>app</title>');
  writeFileSync(join(folder, 'large.bin'), Buffer.alloc(size, 1));
  return folder;
}

/** Sends text, and reads nothing until it is resumed. */
function rawClient(url: string, text: string): Socket {
  const { port } = new URL(url);
  const socket = connect(Number(port), '127.0.0.1');
  socket.on('error', () => {});
  socket.pause();
  socket.write(text);
  return socket;
}

function rawPost(path: string, body: object): string {
  const text = JSON.stringify(body);
  return `POST ${path} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: ${text.length}\r\n\r\n${text}`;
}

describe.runIf(process.platform === 'linux')('descriptors', () => {
  const descriptors = (): number => readdirSync('/proc/self/fd').length;
  /** Once all that is about to be closed is. */
  const settled = async (before: number): Promise<void> =>
    vi.waitFor(() => expect(descriptors()).toBeLessThanOrEqual(before), { timeout: 10_000 });

  it('are all given back, whatever the method, and whoever leaves', async () => {
    const { url, post } = await listening({ web: await listStaticFiles(webFolder()) }, 1);
    const close = { connection: 'close' };
    const ask = { prompt: '1', steps: 1 };
    const cases: Record<string, () => Promise<unknown>> = {
      GET: async () => (await fetch(`${url}/large.bin`, { headers: close })).arrayBuffer(),
      HEAD: async () => {
        const response = await fetch(`${url}/large.bin`, { method: 'HEAD', headers: close });
        expect([response.status, response.headers.get('content-length')]).toEqual([200, '1000000']);
      },
      Range: async () =>
        (await fetch(`${url}/large.bin`, { headers: { ...close, range: 'bytes=0-9' } })).arrayBuffer(),
      'a GET that is broken off': async () => {
        const abort = new AbortController();
        const { body } = await fetch(`${url}/large.bin`, { signal: abort.signal });
        await body!.getReader().read();
        abort.abort();
      },
      'a GET that nobody reads': async () => {
        const socket = rawClient(url, 'GET /large.bin HTTP/1.1\r\nHost: localhost\r\n\r\n');
        await new Promise((resolve) => setTimeout(resolve, 20));
        socket.destroy();
      },
      'a file that did not change': async () => {
        const { headers } = await fetch(`${url}/large.bin`, { method: 'HEAD' });
        const tag = headers.get('etag')!;
        const again = await fetch(`${url}/large.bin`, { headers: { ...close, 'if-none-match': tag } });
        expect(again.status).toBe(304);
      },
      'a stream': async () => (await post(STREAM, ask, { headers: { ...JSON_TYPE, ...close } })).text(),
      'a stream that is broken off': async () => {
        const { body } = await post(STREAM, { ...ask, steps: 50 });
        await body!.cancel();
      },
      videos: async () => {
        const job = (await (await post('/v1/videos', { ...ask, model: 'clips' })).json()) as Video;
        const content = `${url}/v1/videos/${job.id}/content`;
        await vi.waitFor(async () => expect((await fetch(content)).status).toBe(200), { timeout: 10_000 });
        await fetch(content, { method: 'HEAD', headers: close });
        await fetch(`${url}/v1/videos/${job.id}`, { method: 'DELETE', headers: close });
      },
    };
    for (const make of Object.values(cases)) await make(); // opens what stays open
    await new Promise((resolve) => setTimeout(resolve, 200));
    const before = descriptors();
    for (const [what, make] of Object.entries(cases)) {
      for (let i = 0; i < (what === 'videos' ? 3 : 20); i++) await make();
      await settled(before + 2).catch(() => expect([what, descriptors()]).toEqual([what, before]));
    }
  });

  it('are given back by clients that read nothing for too long', async () => {
    const { url } = await listening({ web: await listStaticFiles(webFolder(20_000_000)) }, 0.3);
    const before = descriptors();
    const sockets = Array.from({ length: 5 }, () =>
      rawClient(url, 'GET /large.bin HTTP/1.1\r\nHost: localhost\r\n\r\n'),
    );
    // A socket of each client's, its connection's, and the file.
    await vi.waitFor(() => expect(descriptors()).toBeGreaterThanOrEqual(before + 15));
    await settled(before + 5);
    for (const socket of sockets) socket.destroy();
  });
});

describe('files of the web app', () => {
  it('that vanished are 404, and those that changed are sent as they are', async () => {
    const folder = webFolder();
    const { url } = await listening({ web: await listStaticFiles(folder) });
    const tag = (await fetch(`${url}/large.bin`, { method: 'HEAD' })).headers.get('etag');
    writeFileSync(join(folder, 'large.bin'), 'short');
    const changed = await fetch(`${url}/large.bin`);
    expect([await changed.text(), changed.headers.get('etag') === tag]).toEqual(['short', false]);
    writeFileSync(join(folder, 'large.bin'), '');
    expect(await (await fetch(`${url}/large.bin`)).text()).toBe('');
    rmSync(join(folder, 'large.bin'));
    for (const method of ['GET', 'HEAD']) {
      expect((await fetch(`${url}/large.bin`, { method })).status).toBe(404);
    }
    const posted = await fetch(`${url}/index.html`, { method: 'POST' });
    expect([posted.status, posted.headers.get('allow')]).toEqual([405, 'GET, HEAD']);
    const wrong = await fetch(url + IMAGES);
    expect([wrong.status, wrong.headers.get('allow')]).toEqual([405, 'POST']);
  });
});

describe('clients that do not read', () => {
  it('give back their seats after a while, and are told if they read again', async () => {
    const { app, models } = await tinyServer({ limits: { unread: 0.2 } });
    const { body } = await app.request(STREAM, {
      method: 'POST',
      headers: JSON_TYPE,
      body: JSON.stringify({ prompt: '1', steps: 50 }),
    });
    await vi.waitFor(() => expect(models[0].gate.busy).toBe(1));
    await vi.waitFor(() => expect(models[0].gate.busy).toBe(0));
    const text = await new Response(body).text();
    expect(text).toContain('event: started');
    expect(text).toContain('"code":"stream_unread"');
  });

  it('do so on a port too, where much is on its way', async () => {
    const { url, models } = await listening({}, 0.5);
    const clips = { model: 'clips', blocks: 12, steps: 50, preview_every: 1, latents: true, n: 4 };
    const socket = rawClient(url, rawPost(STREAM, { prompt: '1', ...clips }));
    const [, { gate }] = models;
    await vi.waitFor(() => expect(gate.busy).toBe(4));
    await vi.waitFor(() => expect(gate.busy).toBe(0), { timeout: 60_000 });
    socket.destroy();
  });

  it('and those that wait for their answer are not disturbed', async () => {
    let held: ReturnType<typeof heldSampler> | undefined;
    const around = (sampler: Parameters<typeof heldSampler>[0]) => {
      held = heldSampler(sampler);
      return held.sampler;
    };
    const { post } = await listening({ around }, 0.2);
    const asked = post(IMAGES, { prompt: '1', steps: 1 });
    await new Promise((resolve) => setTimeout(resolve, 800));
    held!.release();
    expect((await asked).status).toBe(200);
  });
});

describe('clients that leave', () => {
  it('in the middle of a body are no fault of the server', async () => {
    const { url, errors, get } = await listening();
    const half = `POST ${IMAGES} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n`;
    for (const body of ['Content-Length: 100\r\n\r\n{"pro', 'Transfer-Encoding: chunked\r\n\r\n5\r\n{"pro']) {
      const socket = rawClient(url, half + body);
      await new Promise((resolve) => setTimeout(resolve, 50));
      socket.destroy();
    }
    await vi.waitFor(async () =>
      expect(await (await get('/metrics')).text()).toContain(
        'acdit_requests_total{route="/v1/images/generations",status="499"} 2',
      ),
    );
    expect(errors.map(({ status }) => status)).toEqual([499, 499]);
  });

  it('while they are worked for are none either', async () => {
    const { post, errors, models } = await listening();
    for (const [path, stream] of [
      [IMAGES, false],
      [IMAGES, true],
      [STREAM, undefined],
    ] as const) {
      const abort = new AbortController();
      const asked = post(path, { prompt: '1', steps: 50, stream }, { signal: abort.signal });
      await vi.waitFor(() => expect(models[0].gate.busy).toBe(1));
      abort.abort();
      await asked.then((response) => response.text()).catch(() => {});
      await vi.waitFor(() => expect(models[0].gate.busy).toBe(0));
    }
    expect(errors.filter(({ status }) => status !== 499)).toEqual([]);
  });
});

describe('a listener', () => {
  it('answers 503 until there is something to answer with, and without a Host 400', async () => {
    const listener = await listen({ host: '[::1]', port: 0, unread: 30 }).catch(() =>
      listen({ host: '127.0.0.1', port: 0, unread: 30 }),
    );
    onTestFinished(() =>
      listener.close(
        0,
        async () => {},
        () => {},
      ),
    );
    const loading = await fetch(`${listener.url}/healthz`);
    expect([loading.status, loading.headers.get('retry-after')]).toEqual([503, '5']);
    expect((await errorOf(loading)).code).toBe('loading');
    const status = await new Promise((resolve) => {
      const { hostname, port } = new URL(listener.url);
      const host = hostname.replace(/[[\]]/g, '');
      httpRequest({ host, port, path: '/', setHost: false }, (response) =>
        resolve(response.statusCode),
      ).end();
    });
    expect(status).toBe(400);
  });

  it('waits for requests and background work, but not longer than it may', async () => {
    const { listener, url } = await listening();
    let done = (): void => {};
    const work = new Promise<void>((resolve) => {
      done = resolve;
    });
    const events: string[] = [];
    const closed = listener
      .close(
        60,
        () => work,
        () => events.push('gave up'),
      )
      .then(() => events.push('closed'));
    expect((await fetch(`${url}/v1/models`)).status).toBe(200);
    expect(events).toEqual([]);
    done();
    await closed;
    expect(events).toEqual(['gave up', 'closed']);
    await expect(fetch(url)).rejects.toThrow();

    const other = await listening();
    const never = new Promise<void>(() => {});
    await other.listener.close(
      0.1,
      () => never,
      () => events.push('gave up'),
    );
    expect(events).toHaveLength(3);
  });
});
