import { describe, expect, it, vi } from 'vitest';
import { errorSchema, readinessSchema } from '../../src/server/api.ts';
import { type AccessEntry, parseTraceparent } from '../../src/server/observation.ts';
import { eventsOf, heldSampler, tinyServer } from '../support/tiny-server.ts';

const PATH = '/v1/images/generations';
const STREAM = '/v1/acdit/stream';
const ask = { prompt: 'bag', steps: 2, seed: 1 };
const TRACE = '00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01';

describe('probes', () => {
  it('distinguish a server that lives from one that should get requests', async () => {
    const draining = new AbortController();
    const server = await tinyServer({ draining: draining.signal });
    const status = async (path: string) => (await server.get(path)).status;
    const all = () => Promise.all(['/livez', '/readyz', '/healthz'].map(status));
    const ready = async () => readinessSchema.parse(await (await server.get('/readyz')).json());
    expect(await all()).toEqual([200, 200, 200]);
    expect(await ready()).toEqual({ status: 'ready', store: 'up' });
    draining.abort();
    expect(await all()).toEqual([200, 503, 200]);
    expect((await ready()).status).toBe('draining');
    expect((await server.post(PATH, ask)).status).toBe(200);
    server.stop();
    expect(await all()).toEqual([200, 503, 503]);
    expect((await ready()).status).toBe('stopping');
    expect((await server.post(PATH, ask)).status).toBe(503);
  });

  it('find a sampling process that has ended, and start it again', async () => {
    const process = { alive: true, restarts: 0 };
    const wake = vi.fn(async () => {
      Object.assign(process, { alive: true, restarts: process.restarts + 1 });
    });
    const around = (sampler: Parameters<typeof heldSampler>[0]) => ({
      ...{ sample: sampler.sample, dispose: sampler.dispose, wake },
      get alive() {
        return process.alive;
      },
      get restarts() {
        return process.restarts;
      },
    });
    const server = await tinyServer({ around });
    process.alive = false;
    expect(await (await server.get('/metrics')).text()).toContain('acdit_sampler_up{model="pictures"} 0');
    const found = await server.get('/readyz');
    expect([found.status, ((await found.json()) as { status: string }).status]).toEqual([503, 'restarting']);
    expect((await server.get('/livez')).status).toBe(200);
    expect((await server.get('/readyz')).status).toBe(200);
    const metrics = await (await server.get('/metrics')).text();
    expect(metrics).toContain('acdit_sampler_up{model="pictures"} 1');
    expect(metrics).toContain('acdit_sampler_restarts_total{model="pictures"} 1');
  });
});

describe('a request', () => {
  it('keeps the id that a proxy gave it, in its answer, errors and the log, or gets one', async () => {
    const entries: AccessEntry[] = [];
    const server = await tinyServer({ access: (entry) => entries.push(entry) });
    const headers = { 'x-request-id': 'proxy-1', traceparent: TRACE };
    const made = await server.post(PATH, ask, { headers });
    expect(made.headers.get('x-request-id')).toBe('proxy-1');
    const trace = {
      ...{ trace_id: '4bf92f3577b34da6a3ce929d0e0e4736', span_id: '00f067aa0ba902b7', trace_flags: '01' },
    };
    const line = { method: 'POST', path: PATH, status: 200, seconds: expect.any(Number) };
    expect(entries).toEqual([{ request_id: 'proxy-1', ...trace, ...line }]);
    for (const refused of [
      await server.post(`${PATH}?secret=1`, { ...ask, steps: 1000 }, { headers }),
      await server.get('/none', headers),
      await server.get(PATH, headers),
    ]) {
      expect(refused.headers.get('x-request-id')).toBe('proxy-1');
      expect(errorSchema.parse(await refused.json()).error.request_id).toBe('proxy-1');
    }
    expect(entries[1]).toMatchObject({ path: PATH, status: 400, error: 'invalid_value' });
    for (const odd of ['', 'x'.repeat(129), 'two words', 'a"b']) {
      const answer = await server.get('/livez', { 'x-request-id': odd });
      expect(answer.headers.get('x-request-id')).toMatch(/^[\da-f-]{36}$/);
    }
  });

  it('is logged when its stream ends, with the error that it ended with', async () => {
    const entries: AccessEntry[] = [];
    const options = { access: (entry: AccessEntry) => void entries.push(entry) };
    const server = await tinyServer({
      ...options,
      limits: { deadline: 0.2 },
      around: (s) => heldSampler(s).sampler,
    });
    const response = await server.post(STREAM, ask, { headers: { 'x-request-id': 'a' } });
    expect(entries).toEqual([]);
    const last = (await eventsOf<{ error?: object }>(response)).at(-1);
    expect(last!.error).toMatchObject({ code: 'deadline_exceeded', request_id: 'a' });
    expect(entries).toMatchObject([{ request_id: 'a', status: 200, error: 'deadline_exceeded' }]);
    expect(entries[0].seconds).toBeGreaterThan(0.15);
    const left = await server.post(STREAM, ask, { headers: { 'x-request-id': 'b' } });
    await left.body!.cancel();
    await vi.waitFor(() => expect(entries[1]).toMatchObject({ request_id: 'b', error: 'client_gone' }));
    const good = await tinyServer(options);
    await (await good.post(STREAM, ask)).text();
    expect(entries[2]).not.toHaveProperty('error');
  });

  it.each([
    [TRACE, true],
    [TRACE.replace('00-', '01-'), true],
    [`${TRACE.replace('00-', 'cc-')}-more`, true],
    [`${TRACE}-more`, false],
    [TRACE.replace('00-', 'ff-'), false],
    [TRACE.toUpperCase(), false],
    [`00-${'0'.repeat(32)}-00f067aa0ba902b7-01`, false],
    [`00-4bf92f3577b34da6a3ce929d0e0e4736-${'0'.repeat(16)}-01`, false],
    ['nonsense', false],
  ])('takes over the trace %s: %s', (header, valid) => {
    expect(parseTraceparent(header) !== undefined).toBe(valid);
  });
});

describe('metrics', () => {
  it('hold what autoscaling needs', async () => {
    let held: ReturnType<typeof heldSampler> | undefined;
    const server = await tinyServer({
      ...{ seats: 2, waiting: 5 },
      around: (sampler) => {
        held = heldSampler(sampler);
        return held.sampler;
      },
    });
    const requests = Array.from({ length: 3 }, () => server.post(PATH, ask));
    await vi.waitFor(() => expect(server.models[0].gate.depth).toBe(1));
    const value = async (line: string) => {
      const text = await (await server.get('/metrics')).text();
      return Number(
        text
          .split('\n')
          .find((one) => one.startsWith(`${line} `))
          ?.slice(line.length),
      );
    };
    expect(await value('acdit_queue_depth{model="pictures"}')).toBe(1);
    expect(await value('acdit_queue_capacity{model="pictures"}')).toBe(5);
    expect(await value('acdit_samples_in_progress{model="pictures"}')).toBe(2);
    expect(await value('acdit_samples_capacity{model="pictures"}')).toBe(2);
    await new Promise((resolve) => setTimeout(resolve, 100));
    held!.release();
    await Promise.all(requests);
    expect(await value('acdit_queue_seconds_count{model="pictures"}')).toBe(3);
    expect(await value('acdit_queue_seconds_sum{model="pictures"}')).toBeGreaterThan(0.09);
    expect(await value('acdit_first_block_seconds_count{model="pictures"}')).toBe(3);
    expect(await value('acdit_first_block_seconds_sum{model="pictures"}')).toBeGreaterThan(0.3);
    const { id } = (await (await server.post('/v1/videos', { prompt: 1, steps: 2 })).json()) as {
      id: string;
    };
    expect(await value('acdit_videos{status="completed"}')).toBe(0);
    await vi.waitFor(async () => expect(await value('acdit_videos{status="completed"}')).toBe(1), {
      timeout: 20_000,
    });
    await server.app.request(`/v1/videos/${id}`, { method: 'DELETE' });
    expect(await value('acdit_videos{status="completed"}')).toBe(0);
    expect(await value('acdit_store_up')).toBe(1);
  });
});
