import { describe, expect, it, vi } from 'vitest';
import { imagesSchema, type Video, type VideoList } from '../../src/server/api.ts';
import {
  errorOf,
  eventsOf,
  heldSampler,
  type TinyServerOptions,
  tinyServer,
} from '../support/tiny-server.ts';

const PATH = '/v1/images/generations';
const ask = { prompt: 'bag', steps: 2, seed: 1 };

/** A server whose model of pictures works only when it is released. */
async function heldServer(options: TinyServerOptions = {}) {
  let held: ReturnType<typeof heldSampler> | undefined;
  const around = (sampler: Parameters<typeof heldSampler>[0]) => {
    held = heldSampler(sampler);
    return held.sampler;
  };
  const server = await tinyServer({ ...options, around });
  return { ...server, ...held!, gate: server.models[0].gate };
}

describe('many requests at once', () => {
  it('each get what they get alone', async () => {
    const server = await tinyServer({ waiting: 40 });
    const requests = Array.from({ length: 30 }, (_, i) => ({
      prompt: i % 3,
      seed: i,
      n: 1 + (i % 3),
      steps: 1 + (i % 5),
      cfg_scale: i % 2 ? 1 : 2,
    }));
    const make = async (body: object) => {
      const response = await server.post(PATH, body);
      expect(response.status).toBe(200);
      return imagesSchema.parse(await response.json()).data;
    };
    const together = await Promise.all(requests.map(make));
    for (const [i, body] of requests.entries()) expect(together[i]).toEqual(await make(body));
    expect(await (await server.get('/metrics')).text()).toContain(
      'acdit_samples_total{model="pictures"} 120',
    );
  });

  it('wait in a queue, are told their place, and are refused when it is full', async () => {
    const { post, get, release, gate } = await heldServer({ seats: 2, waiting: 2 });
    const running = [post(PATH, ask), post(PATH, ask)];
    const waiting = [post(PATH, ask), post('/v1/acdit/stream', ask)];
    await vi.waitFor(() => expect([gate.busy, gate.depth]).toEqual([2, 2]));
    for (const refused of [
      await post(PATH, ask),
      await post(PATH, { ...ask, stream: true }),
      await post('/v1/acdit/stream', ask),
    ]) {
      expect(refused.status).toBe(429);
      expect(Number(refused.headers.get('retry-after'))).toBeGreaterThan(0);
      expect(await errorOf(refused)).toMatchObject({ type: 'rate_limit_error', code: 'queue_full' });
    }
    expect(await (await get('/metrics')).text()).toContain('acdit_queue_depth{model="pictures"} 2');
    release();
    for (const response of await Promise.all([...running, waiting[0]])) expect(response.status).toBe(200);
    expect(await (await waiting[1]).text()).toContain('data: {"type":"queued","ahead":1}');
    expect([gate.busy, gate.depth]).toEqual([0, 0]);
  });
});

describe('a video', () => {
  it('is refused when the queue is full, and takes no place then', async () => {
    const { post, get, models } = await tinyServer({ seats: 1, waiting: 1, limits: { videos: 2 } });
    const body = { prompt: '1', model: 'clips', steps: 20 };
    const first = await post('/v1/videos', body);
    const second = await post('/v1/videos', body);
    const third = await post('/v1/videos', body);
    expect([first.status, second.status, third.status]).toEqual([200, 200, 429]);
    expect(Number(third.headers.get('retry-after'))).toBeGreaterThan(0);
    expect(((await (await get('/v1/videos')).json()) as VideoList).data).toHaveLength(2);
    // Nor does one that is refused for want of space take a place in the queue.
    await vi.waitFor(() => expect(models[1].gate.depth).toBe(0), { timeout: 10_000 });
    const full = await tinyServer({ seats: 8, limits: { videos: 1 } });
    expect((await full.post('/v1/videos', body)).status).toBe(200);
    expect((await full.post('/v1/videos', body)).status).toBe(429);
    expect(full.models[1].gate.busy).toBe(1);
    full.close();
  });
});

describe('requests that nobody waits for', () => {
  it('give back their seats, running or waiting', async () => {
    const { app, release, state, gate } = await heldServer({ seats: 1 });
    const controllers = [new AbortController(), new AbortController()];
    const answers = controllers.map(({ signal }) =>
      app.request(PATH, {
        method: 'POST',
        body: JSON.stringify(ask),
        headers: { 'content-type': 'application/json' },
        signal,
      }),
    );
    await vi.waitFor(() => expect([state.started, gate.busy, gate.depth]).toEqual([1, 1, 1]));
    controllers[1].abort();
    await vi.waitFor(() => expect(gate.depth).toBe(0));
    controllers[0].abort();
    await vi.waitFor(() => expect([state.ended, gate.busy]).toEqual([1, 0]));
    await Promise.all(answers);
    release();
  });

  it('stop streaming within a step', async () => {
    const { post, release, state, gate } = await heldServer();
    release();
    const { body } = await post('/v1/acdit/stream', { prompt: '1', steps: 50 });
    const reader = body!.getReader();
    for (let i = 0; i < 3; i++) await reader.read();
    await reader.cancel();
    await vi.waitFor(() => expect([state.ended, gate.busy]).toEqual([1, 0]));
  });

  it('and are not even read give back their seats after the deadline', async () => {
    const { post, release, gate } = await heldServer({ limits: { deadline: 0.3 } });
    const { body } = await post('/v1/acdit/stream', ask);
    await vi.waitFor(() => expect(gate.busy).toBe(1));
    await vi.waitFor(() => expect(gate.busy).toBe(0));
    release();
    await body!.cancel();
  });
});

describe('deadlines', () => {
  it('end requests, running or waiting, with 504, and streams with an event', async () => {
    const { post, gate, release } = await heldServer({ seats: 1, limits: { deadline: 0.5 } });
    const answers = [post(PATH, ask), post(PATH, ask), post('/v1/acdit/stream', ask)];
    const [running, waiting, stream] = await Promise.all(answers);
    expect([running.status, waiting.status, stream.status]).toEqual([504, 504, 200]);
    expect(await errorOf(running)).toMatchObject({ type: 'server_error', code: 'deadline_exceeded' });
    const last = (await eventsOf<{ type: string; error: object }>(stream)).at(-1)!;
    expect(last).toMatchObject({ type: 'error', error: { code: 'deadline_exceeded' } });
    expect([gate.busy, gate.depth]).toEqual([0, 0]);
    release();
  });
});

describe('the end of the server', () => {
  it('refuses new requests, finishes those in progress, and hands back the others', async () => {
    const { post, get, stop, close, release, state } = await heldServer({ seats: 2 });
    const first = post(PATH, ask);
    await vi.waitFor(() => expect(state.started).toBe(1));
    stop();
    const refused = await post(PATH, ask);
    expect([refused.status, refused.headers.get('retry-after')]).toEqual([503, '5']);
    expect((await get('/healthz')).status).toBe(503);
    release();
    expect((await first).status).toBe(200);

    const other = await heldServer();
    const unfinished = other.post(PATH, ask);
    await vi.waitFor(() => expect(other.state.started).toBe(1));
    other.close();
    expect((await unfinished).status).toBe(503);
    close();
  });
});

describe('videos that are in progress when the server stops', () => {
  const body = { prompt: '1', model: 'clips', steps: 20 };

  it('are finished, and wait for their client', async () => {
    const server = await tinyServer();
    const { id } = (await (await server.post('/v1/videos', body)).json()) as Video;
    server.stop();
    expect((await server.post('/v1/videos', body)).status).toBe(503);
    const state = async () => ((await (await server.get(`/v1/videos/${id}`)).json()) as Video).status;
    await vi.waitFor(async () => expect(await state()).toBe('completed'), { timeout: 10_000 });
    let idle = false;
    const ended = server.background.idle().then(() => {
      idle = true;
    });
    await new Promise((resolve) => setTimeout(resolve, 50));
    expect(idle).toBe(false);
    expect((await server.get(`/v1/videos/${id}/content`)).status).toBe(200);
    await ended;
  });

  it('fail when time is up, or are given up by a client that deletes them', async () => {
    const server = await tinyServer();
    const ask = async () => (await (await server.post('/v1/videos', body)).json()) as Video;
    const [kept, deleted] = [await ask(), await ask()];
    server.stop();
    await server.app.request(`/v1/videos/${deleted.id}`, { method: 'DELETE' });
    server.close();
    await server.background.idle();
    const video = (await (await server.get(`/v1/videos/${kept.id}`)).json()) as Video;
    expect(video).toMatchObject({ status: 'failed', error: { code: 'stopping' } });
  });
});

describe('what goes wrong inside', () => {
  it('is logged, and the client learns no details', async () => {
    const around = (): ReturnType<typeof heldSampler>['sampler'] => ({
      // biome-ignore lint/correctness/useYield: it fails before
      async *sample() {
        throw new TypeError('secret detail');
      },
      dispose: async () => {},
    });
    const { post, errors, models } = await tinyServer({ around });
    const response = await post(PATH, ask);
    expect(response.status).toBe(500);
    expect((await errorOf(response)).message).not.toContain('secret');
    expect(errors.map(({ cause }) => (cause as Error).message)).toEqual(['secret detail']);
    expect(models[0].gate.busy).toBe(0);
  });
});
