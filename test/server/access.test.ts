/** @file Who may use the server: hosts, pages of other origins, keys, and where it says that it is. */

import { Hono } from 'hono';
import { describe, expect, it } from 'vitest';
import type { HostRules } from '../../src/server/access.ts';
import { imagesSchema } from '../../src/server/api.ts';
import { errorOf, type TinyServer, tinyServer } from '../support/tiny-server.ts';

const IMAGES = '/v1/images/generations';
const ask = { prompt: '1', steps: 1 };

const strict: HostRules = { names: ['box.example'], others: 'none' };

describe('the Host header', () => {
  const statusFor = async ({ get }: TinyServer, host: string) => (await get('/v1/models', { host })).status;

  it('must name loopback or a known host', async () => {
    const server = await tinyServer({ hosts: strict });
    const known = ['localhost', 'LOCALHOST:8000', 'localhost.', 'a.localhost', '127.0.0.1:1', '127.1.2.3'];
    for (const host of [...known, '[::1]:8000', 'box.example', 'Box.Example:80']) {
      expect([host, await statusFor(server, host)]).toEqual([host, 200]);
    }
    const others = ['evil.example', 'evil.example:8000', 'localhost.evil.example', '127.0.0.1.evil.example'];
    for (const host of [...others, '10.0.0.1', 'box.example.evil', 'localhost@evil.example', '*', '']) {
      expect([host, await statusFor(server, host)]).toEqual([host, 403]);
    }
    const refused = await server.get('/openapi.json', { host: 'evil.example' });
    expect(await errorOf(refused)).toMatchObject({ code: 'host_not_allowed', type: 'invalid_request_error' });
    expect((await server.get('/healthz', { host: 'evil.example' })).status).toBe(200);
    expect((await server.get('/metrics', { host: 'evil.example' })).status).toBe(403);
  });

  it('may be an address, or any name, where the rules say so', async () => {
    const byAddress = await tinyServer({ hosts: { names: [], others: 'addresses' } });
    expect(await statusFor(byAddress, '10.0.0.1:8000')).toBe(200);
    expect(await statusFor(byAddress, '[fe80::1]')).toBe(200);
    expect(await statusFor(byAddress, 'evil.example')).toBe(403);
    const any = await tinyServer({ hosts: { names: [], others: 'any' } });
    expect(await statusFor(any, 'some.example')).toBe(200);
    expect(await statusFor(await tinyServer(), 'some.example')).toBe(200);
  });
});

describe('pages of other origins', () => {
  it('may not write, unless they are allowed', async () => {
    const server = await tinyServer({ hosts: strict, cors: ['https://app.example/'] });
    const statusFor = async (origin: string, path = IMAGES) =>
      (await server.post(path, ask, { headers: { host: 'localhost:8000', origin } })).status;
    for (const origin of ['http://localhost:8000', 'https://box.example', 'https://app.example']) {
      expect([origin, await statusFor(origin)]).toEqual([origin, 200]);
    }
    for (const origin of ['https://evil.example', 'null', 'https://app.example.evil', 'http://app.example']) {
      expect([origin, await statusFor(origin)]).toEqual([origin, 403]);
    }
    const refused = await server.app.request('/v1/videos/x', {
      method: 'DELETE',
      headers: { origin: 'https://evil.example' },
    });
    expect((await errorOf(refused)).code).toBe('origin_not_allowed');
    expect((await server.get('/v1/models', { origin: 'https://evil.example' })).status).toBe(200);
    const open = await tinyServer({ hosts: strict, cors: ['*'] });
    const headers = { origin: 'https://evil.example' };
    expect((await open.post(IMAGES, ask, { headers })).status).toBe(200);
  });

  it('may send no forms, which browsers send without asking', async () => {
    const server = await tinyServer();
    const send = async (headers: Record<string, string>) => {
      const body = new FormData();
      for (const [name, value] of Object.entries({ ...ask, model: 'clips' }))
        body.append(name, String(value));
      return (await server.app.request('http://box.example/v1/videos', { method: 'POST', body, headers }))
        .status;
    };
    expect(await send({})).toBe(200);
    expect(await send({ origin: 'http://box.example' })).toBe(200);
    expect(await send({ origin: 'https://evil.example' })).toBe(403);
    expect(await send({ origin: 'null' })).toBe(403);
    const json = { headers: { origin: 'https://evil.example' } };
    expect((await server.post(IMAGES, ask, json)).status).toBe(200); // it had to ask first
  });

  it('may all use it with *, and are told of no methods that do not exist', async () => {
    const { app } = await tinyServer({ cors: ['*'] });
    const preflight = await app.request(IMAGES, {
      method: 'OPTIONS',
      headers: { origin: 'https://a.example', 'access-control-request-method': 'POST' },
    });
    expect(preflight.headers.get('access-control-allow-origin')).toBe('*');
    expect(preflight.headers.get('access-control-allow-methods')).toBe('GET,HEAD,POST,DELETE');
    await expect(tinyServer({ cors: ['a.example'] })).rejects.toThrow('is not an origin');
  });
});

describe('an API key', () => {
  it('may have white space around it, and is never empty or shown', async () => {
    const { get } = await tinyServer({ apiKey: ' secret\r\n' });
    expect((await get('/v1/models', { authorization: 'Bearer secret' })).status).toBe(200);
    expect((await get('/v1/models', { authorization: 'Bearer  secret ' })).status).toBe(200);
    expect((await get('/v1/models', { authorization: 'Bearer' })).status).toBe(401);
    for (const apiKey of ['', ' \n']) await expect(tinyServer({ apiKey })).rejects.toThrow('is empty');
    for (const apiKey of ['hush hush', 'hush\u0000', 'hüsh']) {
      await expect(tinyServer({ apiKey })).rejects.toThrow(/^(?!.*h[uü]sh).*visible ASCII/);
    }
  });
});

describe('methods', () => {
  it('that a path does not take are refused with those that it takes', async () => {
    const { app } = await tinyServer();
    const cases = [
      ['GET', IMAGES, 'POST'],
      ['HEAD', IMAGES, 'POST'],
      ['PUT', '/v1/videos', 'POST, GET, HEAD'],
      ['POST', '/v1/videos/1', 'GET, HEAD, DELETE'],
      ['POST', '/healthz', 'GET, HEAD'],
    ];
    for (const [method, path, allow] of cases) {
      const { status, headers } = await app.request(path, { method });
      expect([method, path, status, headers.get('allow')]).toEqual([method, path, 405, allow]);
    }
  });
});

describe('addresses of files, and of the API', () => {
  const fileAt = async (app: Hono, path: string) => {
    const response = await app.request(path, {
      method: 'POST',
      body: JSON.stringify({ ...ask, response_format: 'url' }),
      headers: { 'content-type': 'application/json' },
    });
    return imagesSchema.parse(await response.json()).data[0].url!;
  };
  const serversOf = async (app: Hono, path: string) =>
    ((await (await app.request(path)).json()) as { servers: object[] }).servers;

  it('are below the path where the app is mounted', async () => {
    const { app } = await tinyServer();
    expect(await serversOf(app, '/openapi.json')).toEqual([{ url: '/' }]);
    const outer = new Hono().route('/models/acdit', app);
    expect(await serversOf(outer, '/models/acdit/openapi.json')).toEqual([{ url: '/models/acdit' }]);
    const url = await fileAt(outer, `/models/acdit${IMAGES}`);
    expect(url).toMatch(/^http:\/\/localhost\/models\/acdit\/v1\/files\//);
    expect((await outer.request(url)).headers.get('content-type')).toBe('image/png');
    const refused = await outer.request(`/models/acdit${IMAGES}`);
    expect([refused.status, refused.headers.get('allow')]).toEqual([405, 'POST']);
  });

  it('are below the public URL', async () => {
    const { app } = await tinyServer({ publicUrl: 'https://example.com/acdit/' });
    expect(await serversOf(app, '/openapi.json')).toEqual([{ url: 'https://example.com/acdit' }]);
    expect(await fileAt(app, IMAGES)).toMatch(/^https:\/\/example\.com\/acdit\/v1\/files\/[\w-]+$/);
  });
});
