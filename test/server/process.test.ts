// @module-tag slow

import { execFileSync } from 'node:child_process';
import { readFileSync, renameSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { connect } from 'node:net';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import sharp from 'sharp';
import { afterEach, describe, expect, it, onTestFinished, vi } from 'vitest';
import { saveModel, storedAs } from '../../src/checkpoints/save.ts';
import { validateConfig } from '../../src/models/acdit/config.ts';
import { requiredMemory } from '../../src/runs/checks.ts';
import { machine } from '../../src/runtime/machine.ts';
import type { Precision } from '../../src/sampling/precision.ts';
import { openRestartingSampler } from '../../src/sampling/process-sampler.ts';
import type { SampleEvent } from '../../src/sampling/sampler.ts';
import { DEFAULT_STEPS } from '../../src/sampling/settings.ts';
import { type ErrorBody, imagesSchema, type StreamEvent } from '../../src/server/api.ts';
import { planRequest } from '../../src/server/sampling-request.ts';
import { type ServeOptions, startServer } from '../../src/server/serve.ts';
import { expectBadInput, type RunningCli, runInProcess, spawnCli, startCli } from '../support/cli.ts';
import { formulaWeights } from '../support/formula-weights.ts';
import { temporaryFolder } from '../support/temporary-folder.ts';
import { saveAutoencoder } from '../support/tiny-autoencoder.ts';
import { tinyClips } from '../support/tiny-config.ts';
import { saveTiny, tinyLatents, tinyPixels } from '../support/tiny-model.ts';
import { eventsOf } from '../support/tiny-server.ts';

// The sampling process runs from its source too.
const LOADER = pathToFileURL(createRequire(import.meta.url).resolve('tsx')).href;
process.execArgv.push('--import', LOADER);

const PATH = '/v1/images/generations';
const LIMITS = { samples: 1, steps: 500, blocks: 12, strictSize: false };

async function start(options: Partial<ServeOptions> = {}) {
  const folder = await saveTiny(join(temporaryFolder(), 'tiny'), tinyPixels);
  const logged: string[] = [];
  const server = await startServer({
    models: [{ path: folder }],
    host: '127.0.0.1',
    port: 0,
    threads: 1,
    batch: 4,
    queue: 4,
    limits: { samples: 4, steps: 1000, blocks: 64, body: 4096, deadline: 60, videos: 1 },
    version: '0.0.0',
    log: (message) => logged.push(message),
    ...options,
  });
  onTestFinished(() => server.close(0));
  const post = (body: object, init: RequestInit = {}): Promise<Response> =>
    fetch(server.url + PATH, {
      method: 'POST',
      body: JSON.stringify(body),
      headers: { 'content-type': 'application/json' },
      ...init,
    });
  return { server, post, logged };
}

async function kindsOf(events: AsyncIterable<SampleEvent>): Promise<string[]> {
  const kinds: string[] = [];
  for await (const { kind } of events) kinds.push(kind);
  return kinds;
}

async function metric(url: string, name: string): Promise<number> {
  const text = await (await fetch(`${url}/metrics`)).text();
  return Number(new RegExp(`^${name}(?:\\{.*\\})? (.*)$`, 'm').exec(text)?.[1]);
}

/** Returns the id of the only sampling process that this one has started. */
function samplingProcess(): number {
  const listed = execFileSync('ps', ['-o', 'pid=,args=', '--ppid', `${process.pid}`]).toString();
  const [pid, ...others] = [...listed.matchAll(/^ *(\d+) .*sampling-process/gm)].map((found) =>
    Number(found[1]),
  );
  expect(others).toEqual([]);
  return pid;
}

describe('a server with sampling in a process of its own', () => {
  it('answers while it samples, stops the work of clients that go, and counts its passes', async () => {
    const { server, post } = await start();
    expect(server.models).toEqual(['tiny']);
    const controller = new AbortController();
    const long = post({ prompt: 'bag', steps: 1000 }, { signal: controller.signal }).catch(() => 'gone');
    while (
      (await metric(server.url, 'acdit_steps_total')) < 5 ||
      Number.isNaN(await metric(server.url, 'acdit_steps_total'))
    ) {
      await new Promise((resolve) => setTimeout(resolve, 20));
    }
    expect((await fetch(`${server.url}/healthz`)).status).toBe(200);
    controller.abort();
    expect(await long).toBe('gone');
    while ((await metric(server.url, 'acdit_samples_in_progress')) > 0) {
      await new Promise((resolve) => setTimeout(resolve, 20));
    }
    const steps = await metric(server.url, 'acdit_steps_total');
    await new Promise((resolve) => setTimeout(resolve, 300));
    expect((await metric(server.url, 'acdit_steps_total')) - steps).toBeLessThanOrEqual(2);
    expect(steps).toBeLessThan(4000);
  });

  it('decodes latents, previews too, in one more process', async () => {
    const folder = temporaryFolder();
    const path = await saveTiny(join(folder, 'latents'), { ...tinyLatents, downsampling: 2 });
    const vae = await saveAutoencoder(join(folder, 'vae'));
    const { server, post } = await start({ models: [{ path, vae }] });
    const { data, size } = imagesSchema.parse(await (await post({ prompt: '1', steps: 2, n: 2 })).json());
    expect([data.length, size]).toEqual([2, '16x16']);
    const { width, channels } = await sharp(Buffer.from(data[0].b64_json!, 'base64')).metadata();
    expect([width, channels]).toEqual([16, 3]);
    // Previews never hold up sampling, so there must be time for some.
    const stream = await fetch(`${server.url}/v1/acdit/stream`, {
      method: 'POST',
      body: JSON.stringify({ prompt: '1', steps: 100, preview_every: 1 }),
      headers: { 'content-type': 'application/json' },
    });
    const events = await eventsOf<StreamEvent>(stream);
    const shown = events.filter((event) => 'images' in event && event.images);
    expect(shown.map(({ type }) => type)).toEqual(expect.arrayContaining(['preview', 'block', 'done']));
  });

  it('outlives clients that send half a request, or nonsense', async () => {
    const { server, post } = await start();
    const { port } = new URL(server.url);
    const socket = connect(Number(port), '127.0.0.1');
    socket.write(
      `POST ${PATH} HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 100\r\n\r\n{"pro`,
    );
    const nonsense = connect(Number(port), '127.0.0.1');
    nonsense.write('\u0000\u0001 nonsense\r\n\r\n');
    nonsense.on('error', () => {});
    const headers = connect(Number(port), '127.0.0.1');
    headers.write(`GET / HTTP/1.1\r\nX: ${'y'.repeat(100_000)}\r\n\r\n`);
    headers.on('error', () => {});
    expect((await post({ prompt: '1', steps: 1 })).status).toBe(200);
    socket.destroy();
    expect((await post({ prompt: '1', steps: 1 })).status).toBe(200);
  });

  it('starts sampling again when its process has ended', async () => {
    const folder = await saveTiny(join(temporaryFolder(), 'tiny'), tinyPixels);
    const sampler = await openRestartingSampler({ model: folder, threads: 1, groups: 4 });
    onTestFinished(() => sampler.dispose());
    const request = planRequest(tinyPixels, ['1'], { steps: 200, seed: 1 }, LIMITS);
    const first = sampler.pid!;
    await expect(async () => {
      for await (const event of sampler.sample(request))
        if (event.kind === 'step') process.kill(first, 'SIGKILL');
    }).rejects.toThrow('the sampling process ended (SIGKILL)');
    expect([sampler.alive, sampler.restarts]).toEqual([false, 0]);
    await Promise.all([sampler.wake(), sampler.wake()]);
    expect([sampler.alive, sampler.restarts]).toEqual([true, 1]);
    const short = { ...request, steps: [1, 1, 1, 1] };
    const both = await Promise.all([short, short].map((one) => kindsOf(sampler.sample(one))));
    expect(both.map((kinds) => kinds.at(-1))).toEqual(['done', 'done']);
    expect(sampler.pid).not.toBe(first);
  });

  it.each(['in place', 'by renaming, and its process ended'] as const)(
    'refuses to sample from a model that was replaced %s',
    async (how) => {
      const path = await saveTiny(join(temporaryFolder(), 'tiny'), tinyPixels);
      const file = join(path, 'model.safetensors');
      const { server, post, logged } = await start({ models: [{ path }] });
      const body = { prompt: 'bag', steps: 2, seed: 1 };
      const before = (await (await post(body)).json()) as object;
      const weights = readFileSync(file);
      weights.fill(0, weights.length - 1000);
      if (how === 'in place') writeFileSync(file, weights, { flag: 'r+' });
      else {
        writeFileSync(`${file}.new`, weights);
        renameSync(`${file}.new`, file);
        const again = (await (await post(body)).json()) as object;
        expect({ ...again, created: 0 }).toEqual({ ...before, created: 0 });
        process.kill(samplingProcess(), 'SIGKILL');
        await vi.waitFor(async () => expect((await fetch(`${server.url}/readyz`)).status).toBe(503));
      }
      const changed = / has changed since it was opened; start again to use it$/;
      const answer = await post({ ...body, steps: 3 }); // what the timesteps of 2 need is known already
      expect([answer.status, ((await answer.json()) as ErrorBody).error.message]).toEqual([
        500,
        expect.stringMatching(changed),
      ]);
      const stream = await fetch(`${server.url}/v1/acdit/stream`, {
        method: 'POST',
        body: JSON.stringify({ ...body, steps: 3 }),
        headers: { 'content-type': 'application/json' },
      });
      const events = await eventsOf<StreamEvent>(stream);
      expect(events.at(-1)).toMatchObject({
        type: 'error',
        error: { message: expect.stringMatching(changed) },
      });
      expect(logged.join()).toContain('has changed since it was opened');
    },
  );

  it('waits for those who do not read what was sampled, and for nobody else', async () => {
    const model = await saveTiny(join(temporaryFolder(), 'tiny'), tinyClips);
    let passes = 0;
    const sampler = await openRestartingSampler({ model, threads: 1, groups: 4 }, () => passes++);
    onTestFinished(() => sampler.dispose());
    const plan = (steps: number) =>
      planRequest(tinyClips, ['1'], { steps, blocks: 6, cfg_scale: 1, seed: 1 }, LIMITS);
    const slow = sampler.sample(plan(100));
    await slow.next();
    let seen = -1;
    while (seen !== passes) {
      seen = passes;
      await new Promise((resolve) => setTimeout(resolve, 500));
    }
    expect(passes).toBeGreaterThan(10);
    expect(passes).toBeLessThan(100);
    expect(await kindsOf(sampler.sample(plan(2)))).toHaveLength(6 * 3 + 1);
    expect(await kindsOf(slow)).toHaveLength(6 * 101); // and the one before
    // Nor does it hold up an end.
    const stopped = new AbortController();
    const unread = sampler.sample({ ...plan(100), signal: stopped.signal });
    await unread.next();
    stopped.abort(new Error('enough'));
    await expect(kindsOf(unread)).rejects.toThrow('enough');
  });

  it('prints what its process prints, but not beside an answer that says what is wrong', async () => {
    process.execArgv.push('--import', 'data:text/javascript,process.stderr.write("pages of noise")');
    const printed = vi.spyOn(process.stderr, 'write').mockImplementation(() => true);
    onTestFinished(() => {
      process.execArgv.splice(-2);
      printed.mockRestore();
    });
    const settings = { threads: 1, groups: 4 };
    await expect(openRestartingSampler({ ...settings, model: 'no-such-model' })).rejects.toThrow('no such');
    const model = await saveTiny(join(temporaryFolder(), 'tiny'), tinyPixels);
    const failing = { ...settings, model, device: 'dml' } as const;
    await expect(openRestartingSampler(failing)).rejects.toThrow('device dml is not available');
    expect(printed).not.toHaveBeenCalled();
    await (await openRestartingSampler({ ...settings, model })).dispose();
    expect(printed.mock.calls.map(([text]) => String(text))).toEqual(['pages of noise']);
  });

  it('tells what is wrong with a model or a port', async () => {
    const { server } = await start();
    const port = Number(new URL(server.url).port);
    const common = { host: '127.0.0.1', threads: 1, batch: 1, queue: 1, version: '0.0.0', log: () => {} };
    const free = { ...common, port: 0 };
    await expect(startServer({ ...free, models: [{ path: 'no-such-model' }] })).rejects.toThrow(
      'no such model',
    );
    const folder = await saveTiny(join(temporaryFolder(), 'tiny'), tinyPixels);
    await expect(startServer({ ...free, models: [{ path: folder }, { path: folder }] })).rejects.toThrow(
      'NAME=PATH',
    );
    // A port that is not available is found before any model is looked for.
    const models = vi.fn(async () => [{ path: folder }]);
    await expect(startServer({ ...common, port, models })).rejects.toThrow('give another with --port');
    await expect(startServer({ ...common, port: 99_999, models })).rejects.toThrow('0 to 65535');
    await expect(startServer({ ...free, host: 'no such host', models })).rejects.toThrow(
      'the host is unknown',
    );
    await expect(startServer({ ...free, host: '192.0.2.1', models })).rejects.toThrow('does not have');
    expect(models).not.toHaveBeenCalled();
  });
});

/** Where a server says that it serves. */
function addressOf({ child }: RunningCli): Promise<string> {
  return new Promise((resolve) => {
    child.stdout.on('data', (chunk) => {
      const found = /serving mine at (http:\S+)/.exec(String(chunk));
      if (found) resolve(found[1]);
    });
  });
}

describe('acdit serve', () => {
  let running: RunningCli | undefined;
  afterEach(() => running?.child.kill('SIGKILL'));

  it('ends when a model cannot be loaded in its process', async () => {
    const folder = await saveTiny(join(temporaryFolder(), 'tiny'), tinyPixels);
    const { code, stderr } = await spawnCli(['serve', folder, '--port', '0', '--device', 'dml']);
    expect(code).toBe(2);
    expect(stderr).toMatch(/^acdit: device dml is not available.*\n$/);
  });

  it('says what to do with a model of latents, by flags that it has', async () => {
    const folder = await saveTiny(join(temporaryFolder(), 'tiny'), tinyLatents);
    const { code, stderr } = await spawnCli(['serve', folder, '--port', '0']);
    expect(code).toBe(2);
    expect(stderr).toMatch(/^acdit: this model makes latents.*--vae DIR/);
    expect(stderr).not.toContain('--no-decode');
  });

  it('serves, finishes what is in progress when it is told to end, and exits with 0', async () => {
    const folder = await saveTiny(join(temporaryFolder(), 'tiny'), tinyPixels);
    running = startCli(['serve', `mine=${folder}`, '--port', '0', '--threads', '1', '--max-steps', '1000']);
    const url = await addressOf(running);
    const app = (await fetch(url)).ok ? `web app: ${url}/` : 'the web app is not built: npm run build:web';
    await running.printed(`serving mine at ${url} (${app})\n`);
    const body = JSON.stringify({ prompt: 'bag', steps: 200, stream: true });
    const response = await fetch(url + PATH, {
      method: 'POST',
      body,
      headers: { 'content-type': 'application/json' },
    });
    running.child.kill('SIGTERM');
    expect(await response.text()).toContain('image_generation.completed');
    const { code, stderr } = await running.result;
    expect([code, stderr]).toEqual([0, '']);
    await expect(fetch(`${url}/healthz`)).rejects.toThrow();
  });

  it('accepts requests while balancers learn that it will stop, and logs them as JSON', async () => {
    const folder = await saveTiny(join(temporaryFolder(), 'tiny'), tinyPixels);
    running = startCli([
      'serve',
      `mine=${folder}`,
      '--port',
      '0',
      '--threads',
      '1',
      '--drain',
      '4',
      '--log',
      'json',
    ]);
    const url = await addressOf(running);
    expect((await fetch(`${url}/readyz`)).status).toBe(200);
    running.child.kill('SIGTERM');
    await vi.waitFor(async () => expect((await fetch(`${url}/readyz`)).status).toBe(503));
    const response = await fetch(url + PATH, {
      method: 'POST',
      body: JSON.stringify({ prompt: 'bag', steps: 1 }),
      headers: { 'content-type': 'application/json', 'x-request-id': 'late' },
    });
    expect(response.status).toBe(200);
    const { code, stderr } = await running.result;
    expect(code).toBe(0);
    const lines = stderr
      .trim()
      .split('\n')
      .map((line) => JSON.parse(line));
    expect(lines).toContainEqual({
      ...{ time: expect.any(String), level: 'info', msg: 'request', request_id: 'late' },
      ...{ method: 'POST', path: PATH, status: 200, seconds: expect.any(Number) },
    });
  });

  it('finishes videos too, answers meanwhile, and ends when they are fetched', async () => {
    const folder = await saveTiny(join(temporaryFolder(), 'tiny'), tinyClips);
    running = startCli(['serve', `mine=${folder}`, '--port', '0', '--threads', '1']);
    const url = await addressOf(running);
    const ask = () =>
      fetch(`${url}/v1/videos`, {
        method: 'POST',
        body: JSON.stringify({ prompt: 1, steps: 100 }),
        headers: { 'content-type': 'application/json' },
      });
    const { id } = (await (await ask()).json()) as { id: string };
    running.child.kill('SIGTERM');
    await vi.waitFor(async () => expect((await fetch(`${url}/healthz`)).status).toBe(503));
    const refused = await ask();
    expect([refused.status, refused.headers.get('retry-after')]).toEqual([503, '5']);
    const content = await vi.waitFor(
      async () => {
        const response = await fetch(`${url}/v1/videos/${id}/content`);
        expect(response.status).toBe(200);
        return response.arrayBuffer();
      },
      { timeout: 20_000, interval: 100 },
    );
    expect(Buffer.from(content).toString('latin1', 4, 8)).toBe('ftyp');
    const { code, stderr } = await running.result;
    expect([code, stderr]).toEqual([0, '']);
  });

  it.each([
    [['--port', '99999'], '--port must be a whole number from 0 to 65535'],
    [['--max-n', '65'], '--max-n must be a whole number from 1 to 64'],
    [['--cors', 'a.example'], "'a.example' is not an origin"],
    [['--allow-host', 'https://a.example'], 'is not a host'],
    [['--public-url', 'a.example'], 'must be an http or https URL'],
    [['--host', 'no such host'], 'the host is unknown'],
    [['--api-key', 'hush\u00e9'], 'visible ASCII'],
    [
      ['--device', 'webgpu', '--precision', 'int8'],
      '--precision int8 is not available on webgpu, which computes in fp32 or fp16',
    ],
  ])('refuses %j before it looks for a model', async (flags, message) => {
    const args = flags.includes('--port') ? flags : [...flags, '--port', '0'];
    const { code, stderr } = await runInProcess(['serve', 'no-such-model', ...args]);
    expect([code, stderr]).toEqual([2, expect.stringContaining(message)]);
    expect(stderr).not.toContain('hush');
  });

  it.each(['as it is stored', 'by its flag'])('needs less memory in 8 bits, chosen %s', async (how) => {
    const config = validateConfig({ ...tinyPixels, layers: 8, hidden: 64 });
    const folder = join(temporaryFolder(), 'tiny');
    const stored = how === 'by its flag' ? formulaWeights(config) : storedAs(formulaWeights(config), 'int8');
    await saveModel(folder, config, stored);
    // As many samples as fit in 8 bits, but not in float32.
    const needed = (batch: number, precision: Precision) =>
      requiredMemory(config, { batch, steps: DEFAULT_STEPS, guided: true, precision });
    const perSample = needed(101, 'fp32') - needed(100, 'fp32');
    const batch = 100 + Math.floor((machine().memory - needed(100, 'int8')) / perSample);
    expect(needed(batch, 'fp32')).toBeGreaterThan(machine().memory);
    const args = ['serve', `mine=${folder}`, '--port', '0', '--threads', '1', '--batch', String(batch)];
    expectBadInput(await runInProcess([...args, '--precision', 'fp32']), `a batch of ${batch} needs about`);
    running = startCli(how === 'by its flag' ? [...args, '--precision', 'int8'] : args);
    await addressOf(running);
  });

  it('refuses an empty key in the environment', async () => {
    vi.stubEnv('ACDIT_API_KEY', '');
    onTestFinished(() => {
      vi.unstubAllEnvs();
    });
    const { code, stderr } = await runInProcess(['serve', 'no-such-model', '--port', '0']);
    expect([code, stderr]).toEqual([2, expect.stringContaining('the API key is empty')]);
  });

  it('says which hosts requests may name, where these are not only its own', async () => {
    const folder = await saveTiny(join(temporaryFolder(), 'tiny'), tinyPixels);
    running = startCli(['serve', folder, '--port', '0', '--host', '0.0.0.0']);
    await running.printed('requests must name an IP address; allow host names with --allow-host');
  });
});
