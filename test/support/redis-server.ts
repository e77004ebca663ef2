/** @file A real `redis-server` on a free port, where one is installed, that can be killed and started again. */

import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { setTimeout as sleep } from 'node:timers/promises';
import { freePort } from './free-port.ts';

/** Whether there is a `redis-server`. */
export const hasRedis = spawnSync('redis-server', ['--version'], { stdio: 'ignore' }).status === 0;

/** A server of Redis that keeps its data when it is killed. */
export interface RedisServer {
  readonly url: string;
  readonly port: number;
  start(): Promise<void>;
  /** Ends it at once. */
  kill(): Promise<void>;
}

/**
 * Starts a server.
 * @param folder where it keeps its data
 * @param options more of its options, such as `--requirepass`
 */
export async function startRedisServer(
  folder: string,
  options: readonly string[] = [],
): Promise<RedisServer> {
  const port = await freePort();
  const place = ['--port', `${port}`, '--bind', '127.0.0.1', '--dir', folder];
  const args = [...place, '--save', '', '--appendonly', 'yes', ...options];
  const ping = () =>
    spawnSync('redis-cli', ['-p', `${port}`, 'ping'])
      .stdout.toString()
      .trim();
  let child: ChildProcess | undefined;
  const server: RedisServer = {
    url: `redis://127.0.0.1:${port}`,
    port,
    async start() {
      child = spawn('redis-server', args, { stdio: 'ignore' });
      while (ping() === '') await sleep(20);
    },
    async kill() {
      if (!child || child.exitCode !== null || child.signalCode !== null) return;
      const ended = once(child, 'exit');
      child.kill('SIGKILL');
      await ended;
    },
  };
  await server.start();
  return server;
}
