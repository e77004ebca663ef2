/** @file Memory of a server with its sampling processes, and of Redis, while they work. */

import { execFile } from 'node:child_process';
import { setTimeout as sleep } from 'node:timers/promises';
import { promisify } from 'node:util';

const run = promisify(execFile);

/** Measurements at one moment. */
export interface Sample {
  /** Bytes of the server. */
  readonly server: number;
  /** Bytes of its sampling processes. */
  readonly sampling: number;
  /** Bytes of the data of Redis. */
  readonly redis: number;
  /** Keys in Redis. */
  readonly keys: number;
}

/** Milliseconds between measurements. */
const INTERVAL = 1000;

/** Measures until it is stopped. @param pid of the server @param port of Redis */
export function watch(pid: number, port: number) {
  const samples: Sample[] = [];
  const stop = new AbortController();
  async function measure(): Promise<void> {
    while (!stop.signal.aborted) {
      samples.push(await measureOnce(pid, port));
      await sleep(INTERVAL, undefined, { signal: stop.signal }).catch(() => {});
    }
  }
  const running = measure();
  let mark = 0;
  return {
    /** Marks the next measurement. */
    mark(): void {
      mark = samples.length;
    },
    async end(): Promise<{ samples: readonly Sample[]; mark: number }> {
      stop.abort();
      await running;
      return { samples, mark };
    },
  };
}

async function measureOnce(pid: number, port: number): Promise<Sample> {
  const memory = async (...select: readonly string[]): Promise<number> => {
    const { stdout } = await run('ps', ['-o', 'rss=', ...select]);
    return stdout.split('\n').reduce((sum, line) => sum + 1024 * Number(line), 0);
  };
  const info = await redis(port, 'info', 'memory');
  return {
    server: await memory('-p', `${pid}`),
    sampling: await memory('--ppid', `${pid}`),
    redis: Number(/^used_memory:(\d+)/m.exec(info)?.[1]),
    keys: Number(await redis(port, 'dbsize')),
  };
}

/** Runs a command of Redis. @returns its reply, as `redis-cli` prints it */
export async function redis(port: number, ...command: readonly string[]): Promise<string> {
  const { stdout } = await run('redis-cli', ['-p', `${port}`, ...command]);
  return stdout.trim();
}

/** Returns the processes that a process started. */
export async function childrenOf(pid: number): Promise<number[]> {
  const { stdout } = await run('ps', ['-o', 'pid=', '--ppid', `${pid}`]);
  return stdout.trim().split(/\s+/).map(Number);
}

/** Whether a process runs. */
export function isRunning(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch {
    return false;
  }
}
