/**
 * @file One process writes a file, the others wait for it. Only time and disk are saved by this: writing the same bytes at
 * the same places twice does no harm, so a lock that looks abandoned may be taken at once.
 */

import { open, readFile, rm, stat, utimes } from 'node:fs/promises';
import { hostname } from 'node:os';
import { pause } from '../pause.ts';

/** Milliseconds between signs of life, and after how many without one a lock counts as abandoned. */
const HEARTBEAT = 5_000;
const ABANDONED = 30_000;
/** Milliseconds between looks at another's lock. */
const POLL = 250;

/**
 * Take a lock, waiting while another process has it.
 * @returns a function that gives it back
 */
export async function takeLock(
  path: string,
  { signal, onWait }: { signal?: AbortSignal | undefined; onWait?: () => void } = {},
): Promise<() => Promise<void>> {
  for (let waited = false; ; waited = true) {
    if (await tryLock(path)) return holdLock(path);
    if (await isAbandoned(path)) {
      await rm(path, { force: true });
      continue;
    }
    if (!waited) onWait?.();
    await pause(POLL, signal);
  }
}

async function tryLock(path: string): Promise<boolean> {
  try {
    const file = await open(path, 'wx');
    await file.write(JSON.stringify({ host: hostname(), pid: process.pid }));
    await file.close();
    return true;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'EEXIST') return false;
    throw error;
  }
}

function holdLock(path: string): () => Promise<void> {
  const timer = setInterval(() => {
    const now = new Date();
    utimes(path, now, now).catch(() => {}); // whoever took it may have given it back
  }, HEARTBEAT).unref();
  return async () => {
    clearInterval(timer);
    await rm(path, { force: true });
  };
}

async function isAbandoned(path: string): Promise<boolean> {
  const stats = await stat(path).catch(() => undefined);
  if (!stats) return false; // given back: the next attempt takes it
  if (Date.now() - stats.mtimeMs > ABANDONED) return true;
  const text = await readFile(path, 'utf8').catch(() => '');
  const owner = /^\{"host":"(.*)","pid":(\d+)\}$/.exec(text);
  return owner !== null && owner[1] === hostname() && !isRunning(Number(owner[2]));
}

function isRunning(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'EPERM'; // another user's
  }
}
