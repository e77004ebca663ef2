// @module-tag slow

import { setTimeout as sleep } from 'node:timers/promises';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { describe, expect, it, onTestFinished, vi } from 'vitest';
import { ApiError } from '../../src/errors.ts';
import { videoRequestSchema } from '../../src/server/api.ts';
import { redisAddress } from '../../src/server/redis/address.ts';
import { redisFiles } from '../../src/server/redis/files.ts';
import { SCRIPTS } from '../../src/server/redis/scripts.ts';
import { openRedisStore, type SharedStoreOptions } from '../../src/server/redis/store.ts';
import type { Store } from '../../src/server/store.ts';
import type { VideoClaim } from '../../src/server/video-jobs.ts';
import { hasRedis, startRedis, type TestRedis } from '../support/redis.ts';

const asked = {
  ...{ model: 'clips', prompt: '1', seconds: '2', blocks: 4, size: '4x4' },
  ...{ seed: 7, untrained: null, notes: [] },
};
const request = videoRequestSchema.parse({ prompt: '1', seed: 7 });
const mp4 = Buffer.from('\u0000\u00ff an MP4 \r\n$', 'latin1');
const ERROR = { code: 'x', message: 'y' };

async function openStore({ url }: TestRedis, options: SharedStoreOptions = {}): Promise<Store> {
  const store = await openRedisStore(url, { silence: 0.4, ...options });
  onTestFinished(() => store.close());
  return store;
}

const add = ({ videos }: Store, work = new AbortController()): Promise<VideoClaim> =>
  videos.add(asked, request, work);

/** Takes a video over once the claims of silent servers have run out. */
async function takeOver({ videos }: Store, models: string[] = ['clips'], work = new AbortController()) {
  return vi.waitFor(
    async () => {
      const taken = await videos.shared!.takeOver(models, work);
      expect(taken).toBeDefined();
      return taken!;
    },
    { timeout: 5000, interval: 50 },
  );
}

describe.runIf(hasRedis)('a store in Redis', () => {
  it('shows every server the same videos and files, and keeps bytes as they are', async () => {
    const redis = await startRedis();
    const [one, other] = [await openStore(redis), await openStore(redis)];
    const claim = await add(one);
    const second = await add(other);
    expect(await other.videos.get(claim.video.id)).toEqual(claim.video);
    expect((await one.videos.all()).map(({ id }) => id)).toEqual([claim.video.id, second.video.id]);
    expect(await one.videos.all()).toEqual(await other.videos.all());
    claim.report({ status: 'in_progress', progress: 42 });
    await vi.waitFor(async () =>
      expect(await other.videos.get(claim.video.id)).toMatchObject({ status: 'in_progress', progress: 42 }),
    );
    expect(await other.videos.file(claim.video.id, true)).toBeUndefined();
    await claim.complete(mp4);
    const { completed_at, expires_at, ...video } = await other.videos.get(claim.video.id);
    expect(video).toMatchObject({ status: 'completed', progress: 100, error: null });
    expect(expires_at - completed_at!).toBe(3600);
    expect(Buffer.from((await other.videos.file(video.id, true))!)).toEqual(mp4);
    await second.fail(ERROR);
    expect(await one.videos.get(second.video.id)).toMatchObject({ status: 'failed', error: ERROR });
    const name = await one.files.add({ bytes: mp4, type: 'image/png' });
    expect(await other.files.get(name)).toEqual({ bytes: mp4, type: 'image/png' });
    expect(await other.files.get('none')).toBeUndefined();
    const client = await redis.connect();
    for (const key of [`video:${video.id}`, `mp4:${video.id}`, `file:${name}`]) {
      const seconds = Number(await client.send('TTL', `acdit:1:${key}`));
      expect(seconds).toBeGreaterThan(3590);
      expect(seconds).toBeLessThanOrEqual(3600);
    }
  });

  it('keeps a large video, and refuses one that is larger than Redis allows', async () => {
    const redis = await startRedis();
    const store = await openStore(redis, { silence: 60 });
    const claim = await add(store);
    const { video } = claim;
    const large = Buffer.alloc(9_000_001, 'an odd number of bytes');
    await claim.complete(large);
    expect(Buffer.compare((await store.videos.file(video.id, true))!, large)).toBe(0);
    const client = await redis.connect();
    await client.send('CONFIG', 'SET', 'proto-max-bulk-len', '1048576');
    const second = await add(store);
    await expect(second.complete(large)).rejects.toThrow('the store refused a command');
    await second.fail(ERROR);
    expect(await store.videos.get(second.video.id)).toMatchObject({ status: 'failed', error: ERROR });
  }, 30_000);

  it('stops the work of a video that any server deletes', async () => {
    const redis = await startRedis();
    const [one, other] = [await openStore(redis), await openStore(redis)];
    const work = new AbortController();
    const { video } = await add(one, work);
    await other.videos.remove(video.id);
    await expect(other.videos.remove(video.id)).rejects.toMatchObject({ status: 404 });
    await expect(one.videos.get(video.id)).rejects.toMatchObject({ status: 404 });
    await vi.waitFor(() => expect(work.signal.reason).toMatchObject({ message: 'the video was deleted' }));
  });

  it('gives a video of a silent server to one other, and the first can change it no more', async () => {
    const redis = await startRedis();
    const [one, ...others] = [await openStore(redis), await openStore(redis), await openStore(redis)];
    const work = new AbortController();
    const { video } = await add(one, work);
    const client = await redis.connect();
    const owner = String(await client.send('HGET', `acdit:1:video:${video.id}`, 'owner'));
    await sleep(1000);
    expect(await others[0].videos.shared!.takeOver(['clips'], new AbortController())).toBeUndefined();
    one.close();
    await sleep(600);
    expect(await others[0].videos.shared!.takeOver(['other'], new AbortController())).toBeUndefined();
    const racing = Array.from({ length: 20 }, (_, i) =>
      others[i % 2].videos.shared!.takeOver(['clips'], new AbortController()),
    );
    const [taken, ...more] = (await Promise.all(racing)).filter((found) => found !== undefined);
    expect(more).toEqual([]);
    expect(taken).toMatchObject({ request, claim: { video: { ...asked, id: video.id, status: 'queued' } } });
    // What the first server would send when it wakes.
    const late = (script: string, ...args: (string | Buffer)[]) =>
      client.send('EVAL', script, '0', video.id, owner, ...args);
    expect(await late(SCRIPTS.beat, '60000', '3600', 'in_progress', '98')).toBe(0);
    expect(await late(SCRIPTS.complete, '3600', Buffer.from('late'))).toBe(0);
    expect(await late(SCRIPTS.fail, '3600', '{}')).toBe(0);
    expect(await late(SCRIPTS.release)).toBe(0);
    expect(await others[1].videos.get(video.id)).toMatchObject({ status: 'queued', progress: 0 });
    await taken!.claim.complete(mp4);
    expect(await late(SCRIPTS.complete, '3600', Buffer.from('late'))).toBe(0);
    expect(Buffer.from((await others[1].videos.file(video.id, true))!)).toEqual(mp4);
    expect(await others[1].videos.shared!.takeOver(['clips'], new AbortController())).toBeUndefined();
  });

  it('tells a server that it was silent for too long', async () => {
    const redis = await startRedis();
    const log = vi.fn();
    const [one, other] = [await openStore(redis, { log }), await openStore(redis)];
    const work = new AbortController();
    const { video } = await add(one, work);
    const client = await redis.connect();
    await vi.waitFor(async () => {
      await client.send('ZADD', 'acdit:1:making', '0', video.id); // as if it had been silent
      expect(await other.videos.shared!.takeOver(['clips'], new AbortController())).toBeDefined();
    });
    await vi.waitFor(() => expect(work.signal.reason).toMatchObject({ code: 'taken_over' }));
    expect(log).toHaveBeenCalledWith(
      `${video.id} was taken over by another server, since this one was silent`,
    );
  });

  it('does not take over what it makes itself, if it was too busy to report it', async () => {
    const redis = await startRedis();
    const [one, other] = [await openStore(redis), await openStore(redis)];
    const work = new AbortController();
    const claim = await add(one, work);
    const client = await redis.connect();
    const late = () => client.send('ZADD', 'acdit:1:making', '0', claim.video.id);
    for (let i = 0; i < 20; i++) {
      await late();
      expect(await one.videos.shared!.takeOver(['clips'], new AbortController())).toBeUndefined();
      await sleep(30);
    }
    await claim.complete(mp4);
    expect(await other.videos.get(claim.video.id)).toMatchObject({ status: 'completed' });
    expect(work.signal.aborted).toBe(false);
  });

  it('keeps nothing of the work on a video that has ended', async () => {
    const store = await openStore(await startRedis());
    const begin = async (end: (claim: VideoClaim) => Promise<void>): Promise<WeakRef<AbortController>> => {
      const work = new AbortController();
      await end(await add(store, work));
      return new WeakRef(work);
    };
    const ended = [
      await begin((claim) => claim.release!()),
      await begin((claim) => claim.complete(mp4)),
      await begin((claim) => claim.fail(ERROR)),
    ];
    await begin((claim) => claim.complete(mp4)); // Node still refers to the latest timer
    setFlagsFromString('--expose-gc');
    const collectGarbage = runInNewContext('gc') as () => void;
    await vi.waitFor(() => {
      collectGarbage();
      expect(ended.map((work) => work.deref())).toEqual([undefined, undefined, undefined]);
    });
  });

  it('fails a video that has ended three servers, but not one that was given back', async () => {
    const redis = await startRedis();
    const watching = await openStore(redis);
    const first = await openStore(redis);
    const { video } = await add(first);
    first.close();
    for (let i = 0; i < 5; i++) {
      const { claim } = await takeOver(watching);
      await claim.release!();
    }
    for (let i = 0; i < 2; i++) {
      const next = await openStore(redis);
      expect((await takeOver(next)).claim.video.id).toBe(video.id);
      next.close();
    }
    await vi.waitFor(async () => {
      await watching.videos.shared!.takeOver(['clips'], new AbortController());
      expect((await watching.videos.get(video.id)).status).toBe('failed');
    });
    const { error } = await watching.videos.get(video.id);
    expect(error).toEqual({ code: 'servers_ended', message: '3 servers ended while they made the video' });
  });

  it('keeps as many videos and bytes of files as it may, the newest', async () => {
    const redis = await startRedis();
    const store = await openStore(redis, { capacity: 2 });
    const [first, second] = [await add(store), await add(store)];
    await expect(add(store)).rejects.toMatchObject({ status: 429, retryAfter: 30 });
    await second.complete(mp4);
    const third = await add(store);
    const ids = (await store.videos.all()).map(({ id }) => id);
    expect(ids).toEqual([first.video.id, third.video.id]);
    expect(await store.videos.file(second.video.id, true)).toBeUndefined();
    const client = await redis.connect();
    const files = redisFiles(client, { capacity: 10, lifetime: 3600 });
    const addFile = (fill: number) => files.add({ bytes: Buffer.alloc(4, fill), type: 'image/png' });
    // All at once: their order is kept even within a millisecond.
    const names = await Promise.all(Array.from({ length: 50 }, (_, i) => addFile(i)));
    const kept = await Promise.all(names.map((name) => files.get(name)));
    expect(kept.map((file) => file?.bytes[0])).toEqual([...Array(48).fill(undefined), 48, 49]);
    expect(String(await client.send('GET', 'acdit:1:bytes'))).toBe('8');
  });

  it('forgets files that have had their time, and their bytes', async () => {
    const redis = await startRedis();
    const client = await redis.connect();
    const files = redisFiles(client, { capacity: 10, lifetime: 1 });
    const name = await files.add({ bytes: Buffer.alloc(4), type: 'image/png' });
    await sleep(1100);
    expect(await files.get(name)).toBeUndefined();
    await files.add({ bytes: Buffer.alloc(3), type: 'image/png' });
    expect(String(await client.send('GET', 'acdit:1:bytes'))).toBe('3');
  });

  it('waits for Redis, which is killed and started again, and loses nothing', async () => {
    const redis = await startRedis();
    const log = vi.fn();
    const store = await openStore(redis, { log, silence: 60 });
    const work = new AbortController();
    const claim = await add(store, work);
    await redis.kill();
    await expect(store.videos.get(claim.video.id)).rejects.toMatchObject({ status: 503, retryAfter: 5 });
    expect(store.up).toBe(false);
    const completing = claim.complete(mp4);
    const reading = store.files.add({ bytes: mp4, type: 'image/png' });
    await sleep(1000);
    await redis.start();
    await Promise.all([completing, reading]);
    expect(await store.videos.get(claim.video.id)).toMatchObject({ status: 'completed' });
    expect(Buffer.from((await store.videos.file(claim.video.id, true))!)).toEqual(mp4);
    expect(log.mock.calls.map(([text]) => text)).toEqual([
      expect.stringContaining(`the store at 127.0.0.1:${redis.port} cannot be reached:`),
      `the store at 127.0.0.1:${redis.port} can be reached again`,
    ]);
  }, 30_000);

  it('passes over what is not its own', async () => {
    const redis = await startRedis();
    const store = await openStore(redis);
    const { video } = await add(store);
    const client = await redis.connect();
    const stray = ['text', 'list', 'hash', 'older', 'empty'];
    await client.send('SET', 'acdit:1:video:text', 'x');
    await client.send('RPUSH', 'acdit:1:video:list', 'x');
    await client.send('HSET', 'acdit:1:video:hash', 'asked', 'no JSON', 'status', 'done', 'model', 'clips');
    await client.send(
      ...['HSET', 'acdit:1:video:older', 'asked', '{"model":"clips"}', 'model', 'clips', 'status', 'queued'],
      ...['attempts', '1', 'request', '{"prompts":3}'],
    );
    for (const id of stray) {
      await client.send('ZADD', 'acdit:1:videos', '5', id);
      await client.send('ZADD', 'acdit:1:making', '5', id);
    }
    expect((await store.videos.all()).map(({ id }) => id)).toEqual([video.id]);
    for (const id of stray) await expect(store.videos.get(id)).rejects.toMatchObject({ status: 404 });
    await sleep(600);
    for (let i = 0; i < 5; i++) {
      expect(await store.videos.shared!.takeOver(['clips'], new AbortController())).toBeUndefined();
    }
    expect((await client.send('ZRANGE', 'acdit:1:making', '0', '-1')) as Buffer[]).toHaveLength(1);
    await add(store);
    await client.send('SET', 'acdit:1:videos', 'of another program');
    const failed = await store.videos.all().catch((error) => error);
    expect(failed).not.toBeInstanceOf(ApiError);
    expect(failed.message).toContain('the store refused a command: WRONGTYPE');
  });

  it('says so when Redis is full, and works when it is not any more', async () => {
    const redis = await startRedis('--maxmemory', '100mb');
    const log = vi.fn();
    const store = await openStore(redis, { log });
    const client = await redis.connect();
    await client.send('CONFIG', 'SET', 'maxmemory', '1');
    await expect(add(store)).rejects.toMatchObject({ status: 503, code: 'store_unavailable' });
    expect(log.mock.calls.flat().join()).toContain('OOM');
    await client.send('CONFIG', 'SET', 'maxmemory', '0');
    expect((await add(store)).video.status).toBe('queued');
  }, 20_000);

  it('never shows a password', async () => {
    const redis = await startRedis('--requirepass', 'hush/me');
    const { port } = redis;
    const good = await openRedisStore(`redis://:hush%2Fme@127.0.0.1:${port}/3`);
    onTestFinished(() => good.close());
    expect((await good.videos.all()).length).toBe(0);
    const message = (url: string) => openRedisStore(url).then(String, (error) => String(error));
    expect(await message(`redis://:wrong-hush@127.0.0.1:${port}`)).toMatch(
      new RegExp(`^AcditError: cannot use the store at 127.0.0.1:${port}: WRONGPASS`),
    );
    expect(await message(`redis://127.0.0.1:${port}`)).toContain('NOAUTH');
    expect(await message(`rediss://:hush@127.0.0.1:${port}`)).not.toContain('hush');
  }, 30_000);
});

describe('the URL of a store', () => {
  it('may have a user, a password, a port and a database', () => {
    expect(redisAddress('rediss://me:p%40ss@[::1]:7000/12')).toEqual({
      ...{ host: '::1', port: 7000, tls: true, username: 'me', password: 'p@ss', database: 12 },
      name: '[::1]:7000',
    });
    expect(redisAddress('redis://cache')).toMatchObject({
      host: 'cache',
      port: 6379,
      tls: false,
      database: 0,
    });
  });

  it.each([
    'hush',
    'http://:hush@host',
    'redis://',
    'redis://:hush@host/x',
    'redis://:hush@host/1?a=1',
    'redis://:hush%@host',
    'redis://:hush@host:99999',
  ])('is refused without being shown: %s', (url) => {
    expect(() => redisAddress(url)).toThrow('the store must be a URL such as redis://127.0.0.1:6379');
    expect(() => redisAddress(url)).not.toThrow('hush');
  });
});
