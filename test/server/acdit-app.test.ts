/** The server in one line: in an app of one's own, and as a plain fetch handler. */

import { mkdtempSync, rmSync } from 'node:fs';
import { createRequire } from 'node:module';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { Hono } from 'hono';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type AcditApp, acditApp } from '../../src/server/index.ts';
import { saveTiny, tinyPixels } from '../support/tiny-model.ts';

process.execArgv.push('--import', pathToFileURL(createRequire(import.meta.url).resolve('tsx')).href);

const folder = mkdtempSync(join(tmpdir(), 'acdit-test-'));
const log: string[] = [];
const made: AcditApp[] = [];
let model: string;
beforeAll(async () => {
  model = await saveTiny(join(folder, 'tiny'), tinyPixels);
});
afterAll(async () => {
  for (const app of made) await app.dispose();
  rmSync(folder, { recursive: true, force: true });
});

function make(options: Parameters<typeof acditApp>[0] = {}): AcditApp {
  const app = acditApp({ models: [model], threads: 1, log: (message) => log.push(message), ...options });
  made.push(app);
  return app;
}

const imageRequest = (fields = {}) => ({
  method: 'POST',
  headers: { 'content-type': 'application/json' },
  body: JSON.stringify({ prompt: 'sneaker', seed: 1, steps: 2, ...fields }),
});

async function json(response: Response | Promise<Response>): Promise<Record<string, unknown>> {
  return (await response).json() as Promise<Record<string, unknown>>;
}

describe('acditApp', () => {
  it('answers below any path of an app, with URLs that work', async () => {
    const ai = make();
    const app = new Hono().get('/', (c) => c.text('mine')).route('/ai', ai);
    const images = '/ai/v1/images/generations';
    // The first requests load the model once, though they come at once.
    const [first, second] = await Promise.all([
      json(app.request(images, imageRequest())),
      json(app.request(images, imageRequest({ response_format: 'url' }))),
    ]);
    const { data } = first as { data: [{ b64_json: string }] };
    const { data: kept } = second as { data: [{ url: string }] };
    expect(kept[0].url).toMatch(/^http:\/\/localhost\/ai\/v1\/files\//);
    const file = await (await app.request(kept[0].url)).arrayBuffer();
    expect(Buffer.from(file).toString('base64')).toBe(data[0].b64_json);
    const { data: models } = await json(app.request('/ai/v1/models'));
    expect(models).toMatchObject([{ id: 'tiny' }]);
    expect(await json(app.request('/ai/openapi.json'))).toMatchObject({ servers: [{ url: '/ai' }] });
    expect(await (await app.request('/')).text()).toBe('mine');
    const refused = await app.request(images, imageRequest({ prompt: 'sneeker' }));
    expect([refused.status, (await json(refused)).error]).toEqual([
      400,
      expect.objectContaining({ message: "unknown class 'sneeker'; did you mean 'Sneaker'?" }),
    ]);
  });

  it('is a plain fetch handler, also below a prefix', async () => {
    const { fetch } = make({ prefix: '/api/ai' });
    const at = (path: string) => `https://example.com/api/ai${path}`;
    const answer = await fetch(
      new Request(at('/v1/images/generations'), imageRequest({ response_format: 'url' })),
    );
    const { data } = (await json(answer)) as { data: [{ url: string }] };
    expect(data[0].url).toMatch(/^https:\/\/example\.com\/api\/ai\/v1\/files\//);
    expect((await fetch(new Request(data[0].url))).headers.get('content-type')).toBe('image/png');
    expect(await json(fetch(new Request(at('/openapi.json'))))).toMatchObject({
      servers: [{ url: '/api/ai' }],
    });
    const missing = await fetch(new Request('https://example.com/v1/models'));
    expect([missing.status, await json(missing)]).toEqual([
      404,
      { error: expect.objectContaining({ code: 'not_found' }) },
    ]);
  });

  it('reports a model that cannot be loaded to clients and in the log, and tries again', async () => {
    const ai = make({ models: ['fashion-mnits'] });
    for (let attempt = 0; attempt < 2; attempt++) {
      const answer = await ai.request('/v1/models');
      expect(answer.status).toBe(500);
      expect(await json(answer)).toMatchObject({
        error: { code: 'model_not_loaded', message: expect.stringContaining('did you mean fashion-mnist?') },
      });
    }
    expect(log.some((line) => line.includes('did you mean fashion-mnist?'))).toBe(true);
    await expect(ai.load()).rejects.toThrow('did you mean fashion-mnist?');
    expect((await ai.request('/healthz')).status).toBe(200);
  });

  it('refuses requests once it is disposed of, before or after loading', async () => {
    const ai = make();
    await ai.load();
    const running = ai.request('/v1/images/generations', imageRequest({ steps: 250 }));
    await new Promise((resolve) => setTimeout(resolve, 100));
    await ai[Symbol.asyncDispose]();
    expect((await running).status).toBe(503);
    expect((await ai.request('/v1/images/generations', imageRequest())).status).toBe(503);
    const never = make();
    await never.dispose();
    await expect(never.load()).rejects.toThrow('the server has stopped');
  });
});
