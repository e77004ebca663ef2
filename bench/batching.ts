/**
 * @file A server under load, on loopback: images per second for concurrent requests and for one at a time, latencies,
 * whether each response is the same as when its request runs alone, and memory.
 * Usage: npm run bench:batching -- [requests] [at once] [requests of the memory run]
 */

import { execFileSync } from 'node:child_process';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { at } from '../src/at.ts';
import { saveModel } from '../src/checkpoints/save.ts';
import { type RunningServer, startServer } from '../src/server/serve.ts';
import { formulaWeights } from '../test/support/formula-weights.ts';
import { tinyPixels } from '../test/support/tiny-model.ts';

const requests = Number(process.argv[2] ?? 64);
const atOnce = Number(process.argv[3] ?? 16);
const memoryRequests = Number(process.argv[4] ?? 500);

/** A request, by its number. */
const bodyOf = (seed: number, classes: number, steps: number): object => ({
  prompt: seed % classes,
  seed,
  steps,
  cfg_scale: 1.5,
});

async function open(path: string): Promise<RunningServer> {
  return startServer({
    models: [{ path }],
    host: '127.0.0.1',
    port: 0,
    threads: Number(process.env.THREADS ?? 2),
    batch: 16,
    queue: 1000,
    version: '0.0.0',
    log: (message) => console.error(message),
  });
}

/** The image, as base64. */
async function ask(url: string, body: object): Promise<string> {
  const response = await fetch(`${url}/v1/images/generations`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify(body),
  });
  if (!response.ok) throw new Error(`${response.status}: ${await response.text()}`);
  const { data } = (await response.json()) as { data: { b64_json: string }[] };
  return at(data, 0).b64_json;
}

interface Run {
  readonly seconds: number;
  /** Seconds of each request. */
  readonly latencies: number[];
  readonly answers: string[];
}

/** Sends all requests, with at most this many at once. */
async function load(url: string, bodies: readonly object[], concurrency: number): Promise<Run> {
  const latencies: number[] = [];
  const answers: string[] = [];
  const started = performance.now();
  let next = 0;
  const client = async (): Promise<void> => {
    while (next < bodies.length) {
      const index = next++;
      const began = performance.now();
      answers[index] = await ask(url, at(bodies, index));
      latencies[index] = (performance.now() - began) / 1000;
    }
  };
  await Promise.all(Array.from({ length: concurrency }, client));
  return { seconds: (performance.now() - started) / 1000, latencies, answers };
}

function report(name: string, { seconds, latencies }: Run): void {
  const sorted = [...latencies].sort((a, b) => a - b);
  const percentile = (share: number): string =>
    `${at(sorted, Math.min(sorted.length - 1, Math.floor(share * sorted.length))).toFixed(2)} s`;
  console.log(
    `${name}: ${(latencies.length / seconds).toFixed(2)} images per second; latency ` +
      `p50 ${percentile(0.5)}, p95 ${percentile(0.95)}, p99 ${percentile(0.99)}`,
  );
}

/** Memory of this process and of those that it started, in MB. */
function memory(): { readonly server: number; readonly sampling: number } {
  const lines = execFileSync('ps', ['-o', 'rss=', '--ppid', String(process.pid)]).toString();
  const sampling = lines.trim().split('\n').map(Number);
  return { server: process.memoryUsage.rss() / 1e6, sampling: Math.max(...sampling) / 1e3 };
}

async function throughput(): Promise<void> {
  const server = await open('models/fashion-mnist');
  const bodies = Array.from({ length: requests }, (_, seed) => bodyOf(seed, 10, 25));
  await load(server.url, bodies.slice(0, 2), 1);
  const alone = await load(server.url, bodies, 1);
  report('one at a time', alone);
  const together = await load(server.url, bodies, atOnce);
  report(`${atOnce} at once`, together);
  const equal = together.answers.filter((answer, i) => answer === alone.answers[i]).length;
  console.log(
    `${(alone.seconds / together.seconds).toFixed(2)} times the throughput; ` +
      `${equal} of ${requests} images are the same file as alone, ${new Set(together.answers).size} differ from each other`,
  );
  await server.close(0);
}

async function flatMemory(): Promise<void> {
  const folder = await mkdtemp(join(tmpdir(), 'acdit-bench-'));
  await saveModel(folder, tinyPixels, formulaWeights(tinyPixels));
  const server = await open(folder);
  const parts = 5;
  for (let part = 0; part < parts; part++) {
    const bodies = Array.from({ length: memoryRequests / parts }, (_, i) =>
      bodyOf(part * memoryRequests + i, tinyPixels.classes, 5),
    );
    const { answers } = await load(server.url, bodies, atOnce);
    const { server: ours, sampling } = memory();
    console.log(
      `after ${((part + 1) * memoryRequests) / parts} requests: server ${ours.toFixed(0)} MB, ` +
        `sampling ${sampling.toFixed(0)} MB; ${answers.filter(Boolean).length} answers`,
    );
  }
  await server.close(0);
  await rm(folder, { recursive: true });
}

if (memoryRequests > 0) await flatMemory();
await throughput();
