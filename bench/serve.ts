/**
 * @file Two servers with one store in Redis, behind a balancer, on loopback: images, streams and videos of the bundled
 * models at once, while clients leave and one server is killed half way. Each response is compared with what the library
 * makes alone for the same request. Exits with 1 if a response is lost, wrong or mixed up, a stream ends in silence, or
 * something is left in the surviving server, in Redis, or of the killed server.
 * Usage: npm run bench:serve -- [requests] [at once]
 */

import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { at } from '../src/at.ts';
import { hasRedis, startRedisServer } from '../test/support/redis-server.ts';
import { startServing } from '../test/support/serve-process.ts';
import { processor } from './processor.ts';
import { startBalancer } from './serve/balancer.ts';
import { createClients, deleteVideos, type Outcome } from './serve/clients.ts';
import { createTasks, makeAlone, type Task } from './serve/requests.ts';
import { childrenOf, isRunning, redis, type Sample, watch } from './serve/watch.ts';

const requests = Number(process.argv[2] ?? 1000);
const atOnce = Number(process.argv[3] ?? 64);
/** Share of the clients that leave. */
const LEAVING = 0.3;
/** Seconds for everything to end that nobody waits for. */
const SETTLE = 20;

if (!hasRedis) throw new Error('install redis-server');

const tasks = createTasks(requests, LEAVING);
console.error('making each sample alone ...');
const expected = await makeAlone(tasks, 1);

const folder = await mkdtemp(join(tmpdir(), 'acdit-bench-'));
const store = await startRedisServer(folder);
const flags = ['--threads', '1', '--takeover', '10', '--store', store.url];
const [victim, survivor] = await Promise.all([startServing(flags), startServing(flags)]);
const balancer = await startBalancer([victim.url, survivor.url]);
const orphans = await childrenOf(victim.child.pid!);

/** Sends all requests, and kills a server after half of them. */
async function load(run: (task: Task) => Promise<Outcome>): Promise<Outcome[]> {
  const outcomes: Outcome[] = [];
  let next = 0;
  const client = async (): Promise<void> => {
    while (next < tasks.length) {
      if (next === Math.floor(tasks.length / 2)) {
        victim.child.kill('SIGKILL');
        watching.mark();
      }
      outcomes.push(await run(at(tasks, next++)));
    }
  };
  await Promise.all(Array.from({ length: atOnce }, client));
  return outcomes;
}

/** Waits until a number is 0, for at most {@link SETTLE} seconds. @returns what is left */
async function settled(count: () => Promise<number>): Promise<number> {
  const late = performance.now() + 1000 * SETTLE;
  for (;;) {
    const left = await count();
    if (left === 0 || performance.now() > late) return left;
    await sleep(200);
  }
}

/** Returns how many samples the surviving server makes, and requests wait. */
async function working(): Promise<number> {
  const text = await (await fetch(`${survivor.url}/metrics`)).text();
  const gauges = text.matchAll(/^acdit_(?:samples_in_progress|queue_depth)\{.*\} (.*)$/gm);
  return [...gauges].reduce((sum, [, value]) => sum + Number(value), 0);
}

const watching = watch(survivor.child.pid!, store.port);
const started = performance.now();
const outcomes = await load(createClients(balancer.url, expected).run);
const seconds = (performance.now() - started) / 1000;
const { samples, mark } = await watching.end();

const unclaimed = await deleteVideos(balancer.url);
const left = {
  work: await settled(working),
  processes: await settled(async () => orphans.filter(isRunning).length),
};
const names = (await redis(store.port, 'keys', '*')).split('\n').filter((name) => name !== '');
const files = names.filter((name) => name.startsWith('acdit:1:file:')).length;
const others = names.filter((name) => !/^acdit:1:(?:file:.*|files|bytes)$/.test(name));
const log = survivor.logged();

survivor.child.kill('SIGTERM');
const code = await survivor.ended;
await balancer.close();
await store.kill();
await rm(folder, { recursive: true });

const ended = (end: Outcome['end']): readonly Outcome[] => outcomes.filter((outcome) => outcome.end === end);
const sum = (count: 'broken' | 'silent' | 'again'): number =>
  outcomes.reduce((total, outcome) => total + outcome[count], 0);
const byURL = outcomes.filter(({ task }) => task.kind === 'image by URL');

/** The mean of a measurement in the first and last third of the time: of all, and of that after the kill. */
function course(name: keyof Sample, unit: number, digits = 0): string {
  const mean = (some: readonly Sample[]): string =>
    (some.reduce((total, sample) => total + sample[name] / unit, 0) / some.length).toFixed(digits);
  const thirds = (some: readonly Sample[]): string => {
    const length = Math.ceil(some.length / 3);
    return `${mean(some.slice(0, length))} to ${mean(some.slice(-length))}`;
  };
  return `${thirds(samples)}; ${thirds(samples.slice(mark))} after the kill`;
}

const isNeverTwice = new Set(expected).size === expected.length;
const rows: readonly (readonly [string, string | number])[] = [
  ['requests, at once', `${requests}, ${atOnce}`],
  ['clients that left before the end', ended('left').length],
  ['complete responses with the bytes of the sample made alone', ended('right').length],
  ['responses with other bytes', ended('wrong').length],
  ['responses lost', ended('lost').length],
  ['requests that the balancer repeated on the other server', balancer.counts.repeated],
  ['streams that broke off, with an error event', sum('broken')],
  ['streams that ended in silence', sum('silent')],
  [
    'other responses that broke off, or got 502',
    balancer.counts.brokenResponses + balancer.counts.unanswered,
  ],
  ['requests that their clients sent again', sum('again')],
  ['videos of lost responses, which their clients do not know', unclaimed],
  ['work and requests left in the surviving server', left.work],
  ['sampling processes left of the killed server', left.processes],
  ['keys left in Redis, other than of images by URL', others.length],
  ['images by URL in Redis, and requested', `${files}, ${byURL.length}`],
  ['MB of the surviving server, from the first to the last third of the time', course('server', 1e6)],
  ['MB of its sampling processes', course('sampling', 1e6)],
  ['MB of data in Redis', course('redis', 1e6, 1)],
  ['keys in Redis', course('keys', 1)],
  ['seconds', seconds.toFixed(0)],
];
console.log(`${processor()}\n`);
console.log('| measured | value |\n| --- | --- |');
for (const [name, value] of rows) console.log(`| ${name} | ${value} |`);
for (const { task, problem } of ended('lost'))
  console.error(`lost: ${task.number}, ${task.kind}: ${problem}`);
for (const { task } of ended('wrong')) console.error(`wrong: ${task.number}, ${task.kind}`);
if (log !== '') console.error(`the surviving server logged:\n${log}`);
const faults = [
  ...[ended('wrong').length, ended('lost').length, sum('silent'), left.work, left.processes, others.length],
  ...[outcomes.length - requests, isNeverTwice ? 0 : 1, code ?? 1],
];
if (faults.some((count) => count !== 0)) process.exitCode = 1;
