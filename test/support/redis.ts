/** @file A real `redis-server` on a free port, where one is installed, that can be killed, paused and started again. */

import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { setTimeout as sleep } from 'node:timers/promises';
import { onTestFinished } from 'vitest';
import { redisAddress } from '../../src/server/redis/address.ts';
import { RedisConnection } from '../../src/server/redis/connection.ts';
import { freePort } from './free-port.ts';
import { temporaryFolder } from './temporary-folder.ts';

/** Whether there is a `redis-server`. Tests without one are skipped, unless ACDIT_REQUIRE_REDIS is set, as in CI. */
export const hasRedis = spawnSync('redis-server', ['--version'], { stdio: 'ignore' }).status === 0;
if (!hasRedis) {
  const problem = 'redis-server is not installed: tests with a shared store are skipped';
  if (process.env.ACDIT_REQUIRE_REDIS) throw new Error(problem);
  console.warn(problem);
}

/** A server of Redis that keeps its data when it is killed. */
export interface RedisServer {
  readonly url: string;
  readonly port: number;
  start(): Promise<void>;
  /** Ends it at once. */
  kill(): Promise<void>;
  /** A connection for what other programs may do. */
  connect(): Promise<RedisConnection>;
}

/** Starts a server for one test. @param options more of its options, such as `--requirepass` */
export async function startRedis(...options: readonly string[]): Promise<RedisServer> {
  const port = await freePort();
  const folder = temporaryFolder();
  const args = [
    '--port',
    String(port),
    '--bind',
    '127.0.0.1',
    '--dir',
    folder,
    '--save',
    '',
    '--appendonly',
    'yes',
  ];
  let child: ChildProcess | undefined;
  const url = `redis://127.0.0.1:${port}`;
  const server: RedisServer = {
    url,
    port,
    async start() {
      child = spawn('redis-server', [...args, ...options], { stdio: 'ignore' });
      while (
        spawnSync('redis-cli', ['-p', String(port), 'ping'])
          .stdout.toString()
          .trim() === ''
      )
        await sleep(20);
    },
    async kill() {
      if (!child || child.exitCode !== null || child.signalCode !== null) return;
      const ended = once(child, 'exit');
      child.kill('SIGKILL');
      await ended;
    },
    async connect() {
      const client = new RedisConnection(await import('@redis/client'), redisAddress(url), () => {});
      await client.open();
      onTestFinished(() => client.close());
      return client;
    },
  };
  await server.start();
  onTestFinished(() => server.kill());
  return server;
}
