/**
 * @file One process at a time works on a file or a folder (Node only). A lock file names its owner. While that process
 * lives, even if it is suspended, it keeps the lock; once it has ended, the next process takes the lock at once. If the
 * owner is on another machine or in another container, only its heartbeat, every few seconds, is known. Such a process
 * may find that its lock was taken while it was suspended, and has to check before it writes.
 */

import { randomUUID } from 'node:crypto';
import { open, readFile, rename, rm, stat, utimes } from 'node:fs/promises';
import { hostname } from 'node:os';
import { join } from 'node:path';
import { z } from 'zod';
import { attempt } from '../attempt.ts';
import { AcditError, ArgumentError } from '../errors.ts';
import { pause } from '../pause.ts';
import { namingFile } from './atomic-write.ts';
import { closingAfter } from './byte-source.ts';
import { printable } from './printable.ts';
import { processIdentitySchema, stateOf, thisProcess } from './process-identity.ts';

/** Milliseconds between heartbeats. */
const HEARTBEAT = 5_000;
/** Milliseconds without a heartbeat, by our clock, after which a process of another machine counts as ended. */
const SILENCE = 60_000;
/** The same by the other machine's clock, which may be wrong by minutes. */
const LONG_SILENCE = 600_000;
/** Milliseconds between looks at another's lock. */
const POLL = 250;
/** Milliseconds in which processes that take an abandoned lock at the same time find out which of them has it. */
const SETTLING = 100;
/** Max characters of a lock file. */
const LONGEST_LOCK = 4096;

const ownerSchema = processIdentitySchema.extend({ token: z.string() });
type Owner = z.infer<typeof ownerSchema>;

/** A lock that this process holds. */
export interface Lock {
  /** @throws {AcditError} if another process has taken it, which can happen only across machines or containers */
  requireHeld(): Promise<void>;
  /** Releases it. */
  close(): Promise<void>;
}

export interface LockOptions {
  readonly signal?: AbortSignal | undefined;
  /** Called once if another process has the lock, with a description of it. */
  readonly onWait?: (owner: string) => void;
  /** Makes the error that is thrown if a living process has the lock. Without it, the lock is waited for. */
  readonly refusal?: (owner: string) => Error;
  /** Milliseconds without a heartbeat after which a process of another machine counts as ended (default: 60,000). */
  readonly silence?: number;
}

/**
 * Takes a lock, waiting while another process has it.
 * @param path of the lock file, which exists as long as the lock is held.
 * @throws {AcditError} if the file cannot be written; what `refusal` makes; the signal's reason once it is aborted.
 */
export async function takeLock(
  path: string,
  { signal, onWait, refusal, silence = SILENCE }: LockOptions = {},
): Promise<Lock> {
  const owner: Owner = { ...(await thisProcess()), token: randomUUID() };
  const text = JSON.stringify(owner);
  const watch = watchOwner(silence);
  for (let waited = false; ; ) {
    if (await created(path, text)) return holdLock(path, text);
    const found = await look(path);
    if (!found) continue; // given back meanwhile
    const state = await watch(found);
    if (state === 'ended') {
      if (await replaced(path, found.text, text)) return holdLock(path, text);
      continue;
    }
    if (state === 'running' && refusal) throw refusal(describeOwner(found));
    if (!waited) onWait?.(describeOwner(found));
    waited = true;
    await pause(POLL, signal);
  }
}

/** Removes the lock file of a process that was killed after its work was done. Failures are ignored. */
export async function removeAbandonedLock(path: string): Promise<void> {
  const owner = (await look(path))?.owner;
  if (owner && (await stateOf(owner)) === 'ended') await rm(path, { force: true }).catch(() => {});
}

/** The lock file of a folder. */
const FOLDER_LOCK = '.acdit-lock';

/**
 * Takes the lock of a folder that one process at a time may write to.
 * @throws {ArgumentError} if a living process has it.
 */
export function lockFolder(
  folder: string,
  options: Pick<LockOptions, 'signal' | 'onWait'> = {},
): Promise<Lock> {
  return takeLock(join(folder, FOLDER_LOCK), {
    ...options,
    refusal: (owner) =>
      new ArgumentError(
        `${folder}: ${owner} is writing to it; wait until it has finished, or give another folder`,
      ),
  });
}

/** A lock file as it was found. */
interface FoundLock {
  readonly text: string;
  /** Undefined if the file is being written, or damaged. */
  readonly owner: Owner | undefined;
  readonly mtime: number;
}

async function look(path: string): Promise<FoundLock | undefined> {
  const stats = await stat(path).catch(() => undefined);
  if (!stats) return undefined;
  const text = (await contentOf(path)) ?? ''; // another user's file may be unreadable
  const json = text.length > LONGEST_LOCK ? undefined : attempt(() => JSON.parse(text), undefined);
  return { text, owner: ownerSchema.safeParse(json).data, mtime: stats.mtimeMs };
}

function describeOwner({ owner }: FoundLock): string {
  if (!owner) return 'an unknown process';
  return `process ${owner.pid} on ${owner.host === hostname() ? 'this machine' : printable(owner.host)}`;
}

/** Decides, from one look to the next, whether a lock's owner is alive. */
function watchOwner(silence: number): (found: FoundLock) => Promise<'running' | 'ended' | 'unknown'> {
  let first: (FoundLock & { readonly time: number }) | undefined;
  return async (found) => {
    const known = found.owner && (await stateOf(found.owner));
    if (known === 'running' || known === 'ended') return known;
    const time = performance.now();
    if (first?.text !== found.text) first = { ...found, time };
    else if (first.mtime !== found.mtime) return 'running'; // its heartbeat continues
    const quiet = time - first.time >= silence || Date.now() - found.mtime >= LONG_SILENCE;
    return quiet ? 'ended' : 'unknown';
  };
}

async function created(path: string, text: string): Promise<boolean> {
  return namingFile(path, async () => {
    const file = await open(path, 'wx').catch((error: NodeJS.ErrnoException) => {
      if (error.code === 'EEXIST') return undefined;
      throw error;
    });
    if (!file) return false;
    await closingAfter(file, () => file.writeFile(text)).catch(async (error) => {
      await rm(path, { force: true }); // on a full disk
      throw error;
    });
    return true;
  });
}

/** Takes the lock of a process that has ended. @returns false if another process took it at the same time. */
async function replaced(path: string, before: string, text: string): Promise<boolean> {
  const temporary = `${path}.${randomUUID()}`;
  try {
    if (!(await created(temporary, text)) || (await contentOf(path)) !== before) return false;
    await namingFile(path, () => rename(temporary, path));
  } finally {
    await rm(temporary, { force: true });
  }
  await pause(SETTLING, undefined);
  return (await contentOf(path)) === text;
}

function contentOf(path: string): Promise<string | undefined> {
  return readFile(path, 'utf8').catch(() => undefined);
}

function holdLock(path: string, text: string): Lock {
  const timer = setInterval(async () => {
    if ((await contentOf(path)) !== text) return clearInterval(timer);
    const now = new Date();
    await utimes(path, now, now).catch(() => {}); // given back meanwhile
  }, HEARTBEAT).unref();
  return {
    async requireHeld() {
      const found = await look(path);
      if (found?.text === text) return;
      const other = found ? `${describeOwner(found)} has taken the lock` : 'the lock was removed';
      throw new AcditError(
        `${path}: ${other} while this process was suspended or cut off; it stops, so that only one of them writes`,
      );
    },
    async close() {
      clearInterval(timer);
      if ((await contentOf(path)) === text) await rm(path, { force: true });
    },
  };
}
