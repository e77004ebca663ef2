// @module-tag slow

import { once } from 'node:events';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { describe, expect, it, onTestFinished, vi } from 'vitest';
import type { Video, VideoList } from '../../src/server/api.ts';
import { hasRedis, startRedis } from '../support/redis.ts';
import { type ServeProcess, startServing } from '../support/serve-process.ts';
import { temporaryFolder } from '../support/temporary-folder.ts';
import { tinyClips } from '../support/tiny-config.ts';
import { saveTiny, tinyPixels } from '../support/tiny-model.ts';

/** Starts `acdit serve` with small models of images and videos. */
async function startReplica(...args: readonly string[]): Promise<ServeProcess> {
  const folder = temporaryFolder();
  const clips = await saveTiny(join(folder, 'clips'), tinyClips);
  const pictures = await saveTiny(join(folder, 'pictures'), tinyPixels);
  const limits = ['--max-steps', '1000', '--threads', '1', '--takeover', '2'];
  return startServing([pictures, clips, ...limits, ...args], (child) => {
    onTestFinished(async () => {
      child.kill('SIGCONT');
      child.kill('SIGKILL');
      if (child.exitCode === null && child.signalCode === null) await once(child, 'exit');
    });
  });
}

const body = { model: 'clips', prompt: 1, seed: 5, steps: 120 };

async function ask({ url }: ServeProcess, changes: object = {}): Promise<Video> {
  const response = await fetch(`${url}/v1/videos`, {
    method: 'POST',
    body: JSON.stringify({ ...body, ...changes }),
    headers: { 'content-type': 'application/json' },
  });
  expect(response.status).toBe(200);
  return (await response.json()) as Video;
}

async function look({ url }: ServeProcess, id: string): Promise<Video> {
  const response = await fetch(`${url}/v1/videos/${id}`);
  expect(response.status).toBe(200);
  return (await response.json()) as Video;
}

/** Waits until a video is in progress, at least this far. */
async function reached(replica: ServeProcess, id: string, progress: number): Promise<Video> {
  return vi.waitFor(
    async () => {
      const video = await look(replica, id);
      expect(video.status, JSON.stringify(video.error)).not.toBe('failed');
      expect(video.progress).toBeGreaterThanOrEqual(progress);
      return video;
    },
    { timeout: 120_000, interval: 50 },
  );
}

async function content({ url }: ServeProcess, id: string): Promise<Buffer> {
  const response = await fetch(`${url}/v1/videos/${id}/content`);
  expect(response.status).toBe(200);
  return Buffer.from(await response.arrayBuffer());
}

/** Makes the video on a server of its own, once for all tests. */
let made: Promise<Buffer> | undefined;
async function makeAlone(): Promise<Buffer> {
  const replica = await startReplica();
  const { id } = await ask(replica);
  await reached(replica, id, 100);
  return content(replica, id);
}
function alone(): Promise<Buffer> {
  made ??= makeAlone();
  return made;
}

describe.runIf(hasRedis)('two servers that share a store', () => {
  it('answer alike, for videos and for images by URL', async () => {
    const store = ['--store', (await startRedis()).url];
    const [one, other] = [await startReplica(...store), await startReplica(...store)];
    const { id } = await ask(one, { steps: 5 });
    await reached(other, id, 100);
    expect(await look(one, id)).toEqual(await look(other, id));
    expect(await content(one, id)).toEqual(await content(other, id));
    const list = async ({ url }: ServeProcess) =>
      (await (await fetch(`${url}/v1/videos`)).json()) as VideoList;
    expect(await list(one)).toEqual(await list(other));
    const response = await fetch(`${one.url}/v1/images/generations`, {
      method: 'POST',
      body: JSON.stringify({ prompt: 'bag', steps: 1, response_format: 'url' }),
      headers: { 'content-type': 'application/json' },
    });
    const { data } = (await response.json()) as { data: { url: string }[] };
    const { pathname } = new URL(data[0].url);
    const [first, second] = await Promise.all([one, other].map(({ url }) => fetch(url + pathname)));
    expect([first.status, second.headers.get('content-type')]).toEqual([200, 'image/png']);
    expect(await first.arrayBuffer()).toEqual(await second.arrayBuffer());
    // Any server stops the work of any other.
    const long = await ask(one, { steps: 1000 });
    await reached(other, long.id, 1);
    expect((await fetch(`${other.url}/v1/videos/${long.id}`, { method: 'DELETE' })).status).toBe(200);
    await vi.waitFor(async () => {
      const metrics = await (await fetch(`${one.url}/metrics`)).text();
      expect(metrics).toContain('acdit_samples_in_progress{model="clips"} 0');
    });
    expect((await fetch(`${one.url}/v1/videos/${long.id}`)).status).toBe(404);
  }, 300_000);

  it('finish the video of one that is killed, with the same bytes', async () => {
    const store = ['--store', (await startRedis()).url];
    const [one, other] = [await startReplica(...store), await startReplica(...store)];
    const { id } = await ask(one);
    await reached(one, id, 20);
    one.child.kill('SIGKILL');
    expect((await look(other, id)).status).toBe('in_progress');
    const video = await reached(other, id, 100);
    expect(video).toMatchObject({ status: 'completed', seed: 5 });
    expect(await content(other, id)).toEqual(await alone());
  }, 300_000);

  it.each(['after', 'while'] as const)(
    'keep the video from one that was paused and wakes %s another makes it',
    async (when) => {
      const store = ['--store', (await startRedis()).url];
      const [one, other] = [await startReplica(...store), await startReplica(...store)];
      const { id } = await ask(one);
      await reached(other, id, 20);
      one.child.kill('SIGSTOP');
      await vi.waitFor(async () => expect((await look(other, id)).progress).toBeLessThan(20), {
        timeout: 20_000,
        interval: 50,
      });
      if (when === 'after') await reached(other, id, 100);
      const before = when === 'after' ? await look(other, id) : undefined;
      one.child.kill('SIGCONT');
      await vi.waitFor(() => expect(one.logged()).toContain(`${id} was taken over by another server`), {
        timeout: 10_000,
      });
      const video = await reached(other, id, 100);
      if (before) expect(video).toEqual(before);
      expect(await look(one, id)).toEqual(video);
      expect(await content(one, id)).toEqual(await alone());
      await sleep(1500);
      expect(await look(other, id)).toEqual(video);
    },
    300_000,
  );

  it('lose nothing when Redis is killed and started again', async () => {
    const redis = await startRedis();
    const [one, other] = [await startReplica('--store', redis.url), await startReplica('--store', redis.url)];
    const { id } = await ask(one);
    await reached(one, id, 20);
    await redis.kill();
    const polls = await Promise.all([one, other].map(({ url }) => fetch(`${url}/v1/videos/${id}`)));
    expect(polls.map(({ status, headers }) => [status, headers.get('retry-after')])).toEqual([
      [503, '5'],
      [503, '5'],
    ]);
    await sleep(5000);
    const waiting = look(other, id);
    await sleep(500);
    await redis.start();
    expect((await waiting).id).toBe(id);
    await reached(other, id, 100);
    expect(one.logged() + other.logged()).not.toContain('taken over');
    expect(await content(other, id)).toEqual(await alone());
  }, 300_000);

  it('hand a video over when one is told to end before it is finished', async () => {
    const store = ['--store', (await startRedis()).url, '--grace', '1', '--takeover', '60'];
    const [one, other] = [await startReplica(...store), await startReplica(...store)];
    const { id } = await ask(one);
    await reached(one, id, 5);
    one.child.kill('SIGTERM');
    expect(await one.ended).toBe(0);
    expect((await look(other, id)).status).not.toBe('failed');
    await reached(other, id, 100);
    expect(await content(other, id)).toEqual(await alone());
  }, 300_000);
});
