import { mkdirSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { gzipSync } from 'node:zlib';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { errorSchema } from '../../src/server/api.ts';
import { operations } from '../../src/server/openapi.ts';
import { listStaticFiles } from '../../src/server/static-files.ts';
import { temporaryFolder } from '../support/temporary-folder.ts';
import { errorOf, tinyServer } from '../support/tiny-server.ts';

const server = await tinyServer();
const IMAGES = '/v1/images/generations';
const STREAM = '/v1/acdit/stream';

const guided = (guidance: object) => ({ prompt: '1', guidance });
const manyTimesteps = Array.from({ length: 51 }, (_, i) => 99 - i);

describe('bad bodies', () => {
  it.each<[string, unknown, number, string | null, RegExp]>([
    ['not JSON', '{"prompt":', 400, null, /not JSON/],
    ['no object', '[]', 400, null, /expected object/],
    ['nothing', '', 400, null, /not JSON/],
    ['no prompt', {}, 400, 'prompt', /prompt/],
    ['an unknown class', { prompt: 'sneeker' }, 400, 'prompt', /did you mean 'Sneaker'/],
    ['a class beyond the last', { prompt: 3 }, 400, 'prompt', /outside 0 to 2/],
    ['an unknown field', { prompt: '1', sed: 1 }, 400, 'sed', /did you mean 'seed'/],
    ['an unknown model', { prompt: '1', model: 'piktures' }, 404, 'model', /did you mean 'pictures'/],
    ["a size that is not the model's", { prompt: '1', size: '16x16' }, 400, 'size', /makes samples of 8x8/],
    ['no size', { prompt: '1', size: 'big' }, 400, 'size', /WIDTHxHEIGHT/],
    ['no samples', { prompt: '1', n: 0 }, 400, 'n', />=1/],
    ['too many samples', { prompt: '1', n: 5 }, 400, 'n', /at most 4/],
    ['no steps', { prompt: '1', steps: 0 }, 400, 'steps', />=1/],
    ['too many steps', { prompt: '1', steps: 51 }, 400, 'steps', /at most 50/],
    ['steps of too few blocks', { prompt: '1', steps: [1, 2] }, 400, 'steps', /4 blocks, got 2/],
    [
      'timesteps that rise',
      { prompt: '1', timesteps: [3, 9] },
      400,
      'timesteps',
      /each below.*got 9 after 3/,
    ],
    ['a timestep out of range', { prompt: '1', timesteps: [1000] }, 400, 'timesteps.0', /<=999/],
    ['an unknown spacing', { prompt: '1', timesteps: 'log' }, 400, 'timesteps', /uniform.*logsnr/],
    ['too many timesteps', { prompt: '1', timesteps: manyTimesteps }, 400, 'steps', /at most 50/],
    [
      'steps of no fitted solver',
      { prompt: '1', preset: 'fast', steps: 4 },
      400,
      'steps',
      /one of 3, 5, which/,
    ],
    ['an unknown preset', { prompt: '1', preset: 'slow' }, 400, 'preset', /exact.*fast/],
    ['labels of too few blocks', { prompt: ['1', '2'] }, 400, 'prompt', /4 blocks, got 2/],
    ['guidance below 0', { prompt: '1', cfg_scale: -1 }, 400, 'cfg_scale', />=0/],
    ['two scales', { prompt: '1', cfg_scale: 2, guidance: { scale: 2 } }, 400, 'guidance', /left out if cfg/],
    ['an interval that falls', guided({ interval: [2, -3] }), 400, 'guidance.interval', /the lower first/],
    [
      'an interval that guides nothing',
      guided({ interval: [8, 9] }),
      400,
      'guidance.interval',
      /of some step/,
    ],
    ['a schedule that is none', guided({ schedule: 'cosine' }), 400, 'guidance.schedule', /constant/],
    [
      'context noise beyond the last timestep',
      { prompt: '1', context_noise: 1000 },
      400,
      'context_noise',
      /<=999/,
    ],
    ['a seed that is not a whole number', { prompt: '1', seed: 0.5 }, 400, 'seed', /int/],
    ['an unknown solver', { prompt: '1', solver: 'euler' }, 400, 'solver', /ddim/],
    ['an unknown format', { prompt: '1', response_format: 'tiff' }, 400, 'response_format', /b64_json/],
    ['text for a number', { prompt: '1', n: '2' }, 400, 'n', /expected number/],
  ])('are refused: %s', async (_, body, status, param, message) => {
    const response = await server.post(IMAGES, body);
    expect(response.status).toBe(status);
    const error = await errorOf(response);
    expect(error).toMatchObject({ type: 'invalid_request_error', param });
    expect(error.message).toMatch(message);
  });

  it('may begin with a byte order mark', async () => {
    const body = `\ufeff${JSON.stringify({ prompt: '1', steps: 1 })}`;
    const response = await server.post(IMAGES, body, { headers: { 'content-type': 'application/json' } });
    expect(response.status).toBe(200);
  });

  it.each(['0x10', '0b1', '1e1', ' 4 ', '', '-4', 'Infinity'])(
    'are refused if seconds are not decimal digits: %j',
    async (seconds) => {
      const response = await server.post('/v1/videos', { prompt: '1', model: 'clips', seconds, fps: 2 });
      expect([response.status, (await errorOf(response)).param]).toEqual([400, 'seconds']);
      const list = await server.get(`/v1/videos?limit=${encodeURIComponent(seconds)}`);
      expect([list.status, (await errorOf(list)).param]).toEqual([400, 'limit']);
    },
  );

  it.each(['toString', 'constructor', '__proto__', 'hasOwnProperty'])(
    'are refused for a field %s, of a form as of JSON',
    async (name) => {
      const body = new FormData();
      body.append('prompt', '1');
      body.append(name, '1');
      const form = await server.app.request('/v1/videos', { method: 'POST', body });
      const json = await server.post('/v1/videos', `{"prompt":"1","${name}":"1"}`);
      expect([form.status, json.status]).toEqual([400, 400]);
      expect(await errorOf(form)).toEqual(await errorOf(json));
    },
  );

  it('are refused if they are not sent as JSON, so that no page of another origin can send them unasked', async () => {
    for (const type of ['text/plain', 'application/x-www-form-urlencoded', '']) {
      const headers = { 'content-type': type };
      expect((await server.post(IMAGES, { prompt: '1' }, { headers })).status).toBe(415);
    }
  });

  it('are refused if they are large, whether they say so or not', async () => {
    const large = JSON.stringify({ prompt: 'x'.repeat(70_000) });
    const stated = await server.post(IMAGES, large, { headers: { 'content-length': String(large.length) } });
    expect([stated.status, (await errorOf(stated)).code]).toEqual([413, 'body_too_large']);
    const endless = new ReadableStream({
      pull: (controller) => controller.enqueue(new TextEncoder().encode('x'.repeat(10_000))),
    });
    const init: RequestInit & { duplex: 'half' } = {
      method: 'POST',
      body: endless,
      duplex: 'half',
      headers: { 'content-type': 'application/json' },
    };
    expect((await server.app.request(IMAGES, init)).status).toBe(413);
  });

  it('are refused if they come in very many pieces', async () => {
    const send = (text: string, piece: number) => {
      let sent = 0;
      const body = new ReadableStream({
        pull(controller) {
          controller.enqueue(new TextEncoder().encode(text.slice(sent, sent + piece)));
          sent += piece;
          if (sent >= text.length) controller.close();
        },
      });
      const init: RequestInit & { duplex: 'half' } = { method: 'POST', body, duplex: 'half' };
      return server.app.request(IMAGES, { ...init, headers: { 'content-type': 'application/json' } });
    };
    const long = JSON.stringify({ prompt: '1', steps: 1 }).padEnd(20_000);
    expect((await send(long, 100)).status).toBe(200);
    expect((await send(long.slice(0, 900), 1)).status).toBe(200);
    const refused = await send(long, 1);
    expect([refused.status, (await errorOf(refused)).code]).toEqual([413, 'body_in_pieces']);
  });

  it('are refused if they are compressed', async () => {
    for (const encoding of ['gzip', 'br', 'gzip, identity']) {
      const headers = { 'content-encoding': encoding };
      const response = await server.post(IMAGES, gzipSync(JSON.stringify({ prompt: '1' })), { headers });
      expect(response.status).toBe(415);
      expect((await errorOf(response)).code).toBe('unsupported_content_encoding');
    }
    const headers = { 'content-encoding': 'identity' };
    expect((await server.post(IMAGES, { prompt: '1', steps: 1 }, { headers })).status).toBe(200);
  });

  it('may be larger only by the blocks that are given', async () => {
    const block = (bytes: number) => ({ prompt: '1', given: { shape: [1], data: 'A'.repeat(bytes) } });
    const large = await server.post(STREAM, block(1_000_000));
    expect((await errorOf(large)).message).toContain('takes 4 bytes, got 750000');
    const rest: [string, unknown][] = [
      ['an unknown field', { prompt: '1', ['x'.repeat(1_000_000)]: 1 }],
      ['many steps', { prompt: '1', steps: Array(500_000).fill([]) }],
      ['many prompts', { prompts: Array(500_000).fill([]) }],
      ['a deep list', `${'['.repeat(500_000)}${']'.repeat(500_000)}`],
      ['another field of that name', { prompt: '1', given: 1, data: 'A'.repeat(1_000_000) }],
      ['given blocks too', { ...block(1_000_000), window: Array(50_000).fill(1) }],
      ['all of it', block(5_000_000)],
    ];
    for (const [what, body] of rest) {
      expect([what, (await server.post(STREAM, body)).status]).toEqual([what, 413]);
    }
    for (const path of [IMAGES, '/v1/videos'])
      expect((await server.post(path, block(70_000))).status).toBe(413);
  });

  it('are quoted only in part', async () => {
    const long = 'x'.repeat(60_000);
    const bodies: object[] = [
      { prompt: '1', [long]: 1 },
      { prompt: '1', given: { shape: [1], data: '', [long]: 1 } },
      { prompt: '1', model: long.slice(0, 200) },
      { prompt: long.slice(0, 1000) },
      { prompt: '1', size: long },
      { prompt: '1', solver: long },
      { prompt: '1', model: '\u001b[31m\u202e' },
    ];
    for (const body of bodies) {
      const response = await server.post(STREAM, body);
      expect([400, 404]).toContain(response.status);
      const text = await response.text();
      expect(text.length).toBeLessThan(1000);
      expect(text).not.toMatch(/\\u001b|\u202e/);
    }
    for (const path of [`/v1/videos/${long}`, `/v1/models/${long}`, `/${long}`, `/v1/videos?after=${long}`]) {
      const response = await server.get(path);
      expect([response.status, (await response.text()).length < 1000]).toEqual([404, true]);
    }
    const headers = { 'content-type': long, 'content-encoding': long };
    expect((await (await server.post(IMAGES, {}, { headers })).text()).length).toBeLessThan(1000);
  });

  it('have frame rates that a file can hold', async () => {
    for (const fps of [1e-300, 0.001, 0, -1, 61, 1e300]) {
      const response = await server.post('/v1/videos', { prompt: '1', model: 'clips', fps });
      expect([response.status, (await errorOf(response)).param]).toEqual([400, 'fps']);
    }
  });

  it('never break the server, whatever they hold', async () => {
    const posts = operations.filter(({ method }) => method === 'post').map(({ path }) => path);
    const shared = ['prompt', 'model', 'n', 'seed', 'steps', 'cfg_scale', 'size'];
    const fields = [...shared, 'given', 'stream', 'blocks', 'window', 'seconds', 'fps'];
    const body = fc.oneof(
      fc.string().map((text) => text),
      fc.json(),
      fc
        .dictionary(fc.constantFrom(...fields), fc.jsonValue({ maxDepth: 2 }))
        .map((value) => JSON.stringify(value)),
    );
    await fc.assert(
      fc.asyncProperty(fc.constantFrom(...posts), body, async (path, text) => {
        const response = await server.post(path, text);
        const answer = await response.text();
        expect([200, 400, 404, 413, 429]).toContain(response.status);
        if (response.status !== 200) errorSchema.parse(JSON.parse(answer));
      }),
      { numRuns: 200 },
    );
    expect(server.errors.filter(({ status }) => status >= 500)).toEqual([]);
    expect((await server.get('/healthz')).status).toBe(200);
  });
});

describe('paths', () => {
  it('that are not there, or take other methods, are told', async () => {
    expect((await server.get('/v2')).status).toBe(404);
    const response = await server.get(IMAGES);
    expect(response.status).toBe(405);
    expect((await errorOf(response)).message).toBe(`${IMAGES} takes POST, not GET`);
  });

  it('lead to the files of the web app, isolated, and to no others', async () => {
    const folder = temporaryFolder();
    const web = join(folder, 'web');
    mkdirSync(join(web, 'assets'), { recursive: true });
    writeFileSync(join(folder, 'secret.txt'), 'secret');
    writeFileSync(join(web, 'index.html'), '<title>app</title>');
    writeFileSync(join(web, 'assets', 'a b.js'), 'let a;');
    symlinkSync(join(folder, 'secret.txt'), join(web, 'link.txt'));
    const { get } = await tinyServer({ web: await listStaticFiles(web) });

    const page = await get('/');
    expect(await page.text()).toBe('<title>app</title>');
    expect(page.headers.get('content-type')).toMatch('text/html');
    expect(page.headers.get('cross-origin-opener-policy')).toBe('same-origin');
    expect(page.headers.get('cross-origin-embedder-policy')).toBe('require-corp');
    expect((await get('/', { 'if-none-match': page.headers.get('etag')! })).status).toBe(304);
    expect(await (await get('/assets/a%20b.js')).text()).toBe('let a;');
    expect((await get('/v1/models')).status).toBe(200);
    const tricks = [
      '/link.txt',
      '/../secret.txt',
      '/%2e%2e/secret.txt',
      '/..%2fsecret.txt',
      '/assets/..%5c..%5csecret.txt',
    ];
    for (const path of [...tricks, '/%00', '/%', '/assets', `//${folder}/secret.txt`, '/secret.txt']) {
      expect([path, (await get(path)).status]).toEqual([path, 404]);
    }
    await expect(listStaticFiles(folder)).rejects.toThrow('no index.html');
  });
});

describe('an API key', () => {
  it('is wanted for all but health, the document and the web app', async () => {
    const { get, post } = await tinyServer({ apiKey: 'secret' });
    for (const authorization of ['', 'Bearer', 'Bearer wrong', 'Bearer secret2', 'secret', 'Basic secret']) {
      const response = await post(IMAGES, { prompt: '1' }, { headers: { authorization } });
      expect(response.status).toBe(401);
      expect((await errorOf(response)).code).toBe('invalid_api_key');
    }
    for (const path of ['/v1/models', '/v1/videos', '/metrics']) expect((await get(path)).status).toBe(401);
    for (const path of ['/healthz', '/openapi.json']) expect((await get(path)).status).toBe(200);
    expect((await get('/v1/models', { authorization: 'Bearer secret' })).status).toBe(200);
  });
});

describe('other origins', () => {
  it('may use the server if they are told so', async () => {
    const ask = (origin: string) => ({ origin, 'access-control-request-method': 'POST' });
    const { app, get } = await tinyServer({ cors: ['https://a.example'], apiKey: 'secret' });
    const preflight = await app.request(IMAGES, { method: 'OPTIONS', headers: ask('https://a.example') });
    expect(preflight.status).toBe(204);
    expect(preflight.headers.get('access-control-allow-origin')).toBe('https://a.example');
    expect(
      (await get('/healthz', ask('https://b.example'))).headers.get('access-control-allow-origin'),
    ).toBeNull();
    const refused = await get('/v1/models', ask('https://a.example'));
    expect([refused.status, refused.headers.get('access-control-allow-origin')]).toEqual([
      401,
      'https://a.example',
    ]);
    expect(
      (await server.get('/healthz', ask('https://a.example'))).headers.get('access-control-allow-origin'),
    ).toBeNull();
  });
});

interface OpenApi {
  readonly paths: Record<string, Record<string, { operationId: string }>>;
  readonly components: { readonly schemas: Record<string, { properties: Record<string, object> }> };
}

describe('/openapi.json', () => {
  it('describes every route, and no other', async () => {
    const { paths } = (await (await server.get('/openapi.json')).json()) as {
      paths: Record<string, Record<string, unknown>>;
    };
    const described = Object.entries(paths).flatMap(([path, methods]) =>
      Object.keys(methods).map((method) => `${method.toUpperCase()} ${path}`),
    );
    const routes = server.app.routes
      .filter(({ method }) => method !== 'ALL')
      .map(({ method, path }) => `${method} ${path.replace(/:(\w+)(\{.*?\})?/g, '{$1}')}`);
    expect(described.sort()).toEqual([...new Set(routes)].sort());
  });

  it('names operations and schemas, and has no reference to others', async () => {
    const text = await (await server.get('/openapi.json')).text();
    const { paths, components } = JSON.parse(text) as OpenApi;
    const ids = Object.values(paths).flatMap((path) => Object.values(path).map((one) => one.operationId));
    expect(new Set(ids).size).toBe(operations.length);
    for (const id of ids) expect(id).toMatch(/^[a-z][A-Za-z]+$/);
    const names = [...text.matchAll(/"\$ref":"#\/components\/schemas\/(\w+)"/g)].map(([, name]) => name);
    expect([...new Set(names)].sort()).toEqual(Object.keys(components.schemas).sort());
    expect(text).not.toContain('"$ref":"#/$defs');
  });

  it("states the server's own limits", async () => {
    const { components } = (await (await server.get('/openapi.json')).json()) as OpenApi;
    const { ImageRequest, StreamRequest, VideoRequest } = components.schemas;
    const maximum = (schema: (typeof components.schemas)[string], field: string) =>
      JSON.stringify(schema.properties[field]).match(/"max(?:imum|Items)":\d+/)?.[0];
    expect(maximum(ImageRequest, 'n')).toBe('"maximum":4');
    expect(maximum(StreamRequest, 'n')).toBe('"maximum":4');
    expect(maximum(StreamRequest, 'prompts')).toBe('"maxItems":4');
    expect(maximum(VideoRequest, 'steps')).toBe('"maximum":50');
    expect(ImageRequest.properties.n).toMatchObject({ default: 1 });
    expect(JSON.stringify(ImageRequest.properties.n)).toContain('{"type":"null"}');
    expect((await server.post(IMAGES, { prompt: '1', steps: 1, n: 4 })).status).toBe(200);
  });
});
