/**
 * @file A server under abuse, on loopback: clients that disconnect, do not read, send half of a request, nonsense or too
 * much, ask for headers only, or do not wait for the answer. Afterwards nothing may be left: no slot, place in
 * the queue, descriptor or memory, and requests get the same responses as before. Exits with 1 if something is left.
 * Usage: npm run bench:flood -- [requests] [at once]
 */

import { readdirSync } from 'node:fs';
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { connect } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { at, get } from '../src/at.ts';
import { saveModel } from '../src/checkpoints/save.ts';
import { startServer } from '../src/server/serve.ts';
import { formulaWeights } from '../test/support/formula-weights.ts';
import { tinyClips } from '../test/support/tiny-config.ts';
import { tinyPixels } from '../test/support/tiny-model.ts';

const requests = Number(process.argv[2] ?? 3500);
const atOnce = Number(process.argv[3] ?? 64);

const IMAGES = '/v1/images/generations';
const STREAM = '/v1/acdit/stream';
const VIDEOS = '/v1/videos';

const folder = await mkdtemp(join(tmpdir(), 'acdit-flood-'));
const models = [join(folder, 'pictures'), join(folder, 'clips')] as const;
await saveModel(models[0], tinyPixels, formulaWeights(tinyPixels));
await saveModel(models[1], tinyClips, formulaWeights(tinyClips));
const web = join(folder, 'web');
await mkdir(web);
await writeFile(join(web, 'index.html'), '<title>app</title>');
await writeFile(join(web, 'large.bin'), Buffer.alloc(20_000_000));

const logged: string[] = [];
const server = await startServer({
  models: models.map((path) => ({ path })),
  host: '127.0.0.1',
  port: 0,
  threads: 1,
  batch: 8,
  queue: 16,
  limits: { unread: 2, deadline: 60 },
  web,
  version: '0.0.0',
  log: (message) => logged.push(message),
});
const { url } = server;
const port = Number(new URL(url).port);

function post(path: string, body: object | string, init: RequestInit = {}): Promise<Response> {
  const text = typeof body === 'string' ? body : JSON.stringify(body);
  return fetch(url + path, {
    method: 'POST',
    body: text,
    headers: { 'content-type': 'application/json' },
    ...init,
  });
}

/** Reads the whole response and returns its status. */
async function statusOf(answer: Promise<Response>): Promise<string> {
  const response = await answer;
  await response.arrayBuffer();
  return String(response.status);
}

/** Leaves after some time. */
async function brokenOff(ask: (signal: AbortSignal) => Promise<Response>, random: number): Promise<string> {
  const signal = AbortSignal.timeout(Math.ceil(200 * random));
  return statusOf(ask(signal)).catch(() => 'broken off');
}

/** Sends text, reads nothing, and leaves after some seconds. */
async function unread(text: string, seconds: number): Promise<string> {
  const socket = connect(port, '127.0.0.1').pause();
  socket.on('error', () => {});
  socket.write(text);
  await sleep(1000 * seconds);
  socket.destroy();
  return 'left';
}

function rawPost(path: string, body: object, length = JSON.stringify(body).length): string {
  const head = `POST ${path} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json`;
  return `${head}\r\nContent-Length: ${length}\r\n\r\n${JSON.stringify(body)}`;
}

/** The clients: each gets its number and a random number in [0, 1), and returns its outcome. */
const clients: Readonly<Record<string, (index: number, random: number) => Promise<string>>> = {
  image: (seed) => statusOf(post(IMAGES, { prompt: seed % 3, seed, steps: 2 })),
  'image as a URL': (seed) => statusOf(post(IMAGES, { prompt: 1, seed, steps: 1, response_format: 'url' })),
  'image, broken off': (_, random) =>
    brokenOff((signal) => post(IMAGES, { prompt: 1, steps: 50 }, { signal }), random),
  stream: (seed) => statusOf(post(STREAM, { prompt: 1, seed, steps: 2, preview_every: 1 })),
  'stream, broken off': (_, random) =>
    brokenOff((signal) => post(STREAM, { prompt: 1, steps: 50 }, { signal }), random),
  'stream, unread': (_, random) =>
    unread(
      rawPost(STREAM, { prompt: 1, model: 'clips', steps: 50, latents: true, preview_every: 1, n: 4 }),
      4 * random,
    ),
  'file, headers only': () => statusOf(fetch(`${url}/large.bin`, { method: 'HEAD' })),
  'file, broken off': (_, random) => brokenOff((signal) => fetch(`${url}/large.bin`, { signal }), random),
  'file, unread': (_, random) => unread('GET /large.bin HTTP/1.1\r\nHost: localhost\r\n\r\n', 4 * random),
  'video, deleted': async (seed) => {
    const response = await post(VIDEOS, { prompt: 1, model: 'clips', seed, steps: 10 });
    const { id } = (await response.json()) as { id?: string };
    if (id !== undefined) await statusOf(fetch(`${url}${VIDEOS}/${id}`, { method: 'DELETE' }));
    return String(response.status);
  },
  'half a body': (_, random) => unread(rawPost(IMAGES, { prompt: 1 }, 100), random),
  nonsense: (_, random) => unread(`\u0000${random}\r\n\r\n`, random / 10),
  'no JSON': (_, random) => statusOf(post(STREAM, '{['.repeat(1000 * random))),
  'unknown field': () => statusOf(post(STREAM, { prompt: 1, ['x'.repeat(50_000)]: 1 })),
  'too large': () => statusOf(post(STREAM, { prompt: 1, steps: Array(100_000).fill(1) })),
  'another origin': () => statusOf(post(IMAGES, { prompt: 1 }, { headers: { origin: 'https://a.example' } })),
};

async function gauge(name: string): Promise<number> {
  const text = await (await fetch(`${url}/metrics`)).text();
  const values = [...text.matchAll(new RegExp(`^${name}\\{.*\\} (.*)$`, 'gm'))];
  return values.reduce((sum, [, value]) => sum + Number(value), 0);
}

function descriptors(): number {
  return process.platform === 'linux' ? readdirSync('/proc/self/fd').length : 0;
}

/** Reproducible numbers in [0, 1): a linear congruential generator with the constants of Numerical Recipes. */
function createRandom(seed: number): () => number {
  let state = seed;
  return () => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return state / 2 ** 32;
  };
}

async function flood(count: number): Promise<ReadonlyMap<string, number>> {
  const outcomes = new Map<string, number>();
  const random = createRandom(count);
  const names = Object.keys(clients);
  let next = 0;
  const client = async (): Promise<void> => {
    while (next < count) {
      const index = next++;
      const name = at(names, index % names.length);
      const outcome = await get(clients, name)(index, random()).catch((error) => `failed: ${error.message}`);
      const key = `${name}: ${outcome}`;
      outcomes.set(key, (outcomes.get(key) ?? 0) + 1);
    }
  };
  await Promise.all(Array.from({ length: atOnce }, client));
  return outcomes;
}

/** Waits until no work is left, for at most a minute. @returns what is left */
async function leftovers(): Promise<number> {
  for (let i = 0; ; i++) {
    const left = (await gauge('acdit_samples_in_progress')) + (await gauge('acdit_queue_depth'));
    if (left === 0 || i === 600) return left;
    await sleep(100);
  }
}

const reference = async (): Promise<string> => {
  const { data } = (await (await post(IMAGES, { prompt: 1, seed: 1, steps: 5 })).json()) as {
    data: { b64_json: string }[];
  };
  return at(data, 0).b64_json;
};

const expected = await reference();
await flood(10 * Object.keys(clients).length); // opens what stays open
await leftovers();
await sleep(6000); // connections that are kept alive
const before = { descriptors: descriptors(), memory: process.memoryUsage.rss() / 1e6 };
const started = performance.now();
const outcomes = await flood(requests);
const seconds = (performance.now() - started) / 1000;
const left = await leftovers();
await sleep(6000);
const after = { descriptors: descriptors(), memory: process.memoryUsage.rss() / 1e6 };

for (const [outcome, count] of [...outcomes].sort()) console.log(`${String(count).padStart(6)}  ${outcome}`);
const same = (await reference()) === expected;
console.log(
  `${requests} requests in ${seconds.toFixed(0)} s; afterwards ${left} samples or requests in progress, ` +
    `${after.descriptors} descriptors (${before.descriptors} before), ${after.memory.toFixed(0)} MB ` +
    `(${before.memory.toFixed(0)} before), ${logged.length} faults logged, ` +
    `the same image as before: ${same ? 'yes' : 'no'}`,
);
for (const fault of logged.slice(0, 5)) console.error(fault);
await server.close(0);
await rm(folder, { recursive: true });
const isLeaking = after.descriptors > before.descriptors + 4;
if (left > 0 || isLeaking || logged.length > 0 || !same) process.exitCode = 1;
