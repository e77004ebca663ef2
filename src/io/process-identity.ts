/** @file Identifies processes, whose numbers systems reuse, and finds out whether one still runs (Node only). */

import { execFile } from 'node:child_process';
import { readFile, readlink } from 'node:fs/promises';
import { hostname } from 'node:os';
import { promisify } from 'node:util';
import { z } from 'zod';

/** The fields of a {@link ProcessIdentity} as JSON. */
export const processIdentitySchema = z.object({
  /** Name of the machine. */
  host: z.string(),
  /**
   * What shares its process numbers with this process: on Linux one boot of the kernel and one PID namespace, since two
   * containers may have the name and the numbers of each other; elsewhere the machine.
   */
  space: z.string(),
  pid: z.int().min(1),
  /** When it started, as the system writes it; empty if unknown. */
  started: z.string(),
});

/** A process, distinguished from every other one, even from a later one with the same number. */
export type ProcessIdentity = Readonly<z.infer<typeof processIdentitySchema>>;

/** Identifies the running process. */
export async function thisProcess(): Promise<ProcessIdentity> {
  const { pid } = process;
  return { host: hostname(), space: await processSpace(), pid, started: await startTime(pid) };
}

/**
 * Finds out whether a process runs. A suspended one does; one that has ended but is not yet collected by its parent does
 * not. For a process of another machine or container, this is unknown.
 */
export async function stateOf(owner: ProcessIdentity): Promise<'running' | 'ended' | 'unknown'> {
  if (owner.space !== (await processSpace())) return 'unknown';
  if (!hasProcess(owner.pid)) return 'ended';
  const started = await startTime(owner.pid);
  // If the start time is unknown, compare the number only.
  return started === '' || owner.started === '' || started === owner.started ? 'running' : 'ended';
}

async function processSpace(): Promise<string> {
  try {
    const boot = await readFile('/proc/sys/kernel/random/boot_id', 'utf8');
    return `${boot.trim()} ${await readlink('/proc/self/ns/pid')}`;
  } catch {
    return hostname(); // not Linux
  }
}

function hasProcess(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'EPERM'; // another user's
  }
}

/** The value of {@link startTime} for a process that has ended and waits for its parent. */
const ENDED = 'ended';

/** Returns when a process started; empty if the system does not say. */
async function startTime(pid: number): Promise<string> {
  if (process.platform === 'linux') return linuxStartTime(pid);
  if (process.platform === 'win32') return '';
  try {
    const env = { ...process.env, LC_ALL: 'C', TZ: 'UTC' };
    const { stdout } = await promisify(execFile)('ps', ['-o', 'lstart=', '-p', String(pid)], { env });
    return stdout.trim();
  } catch {
    return '';
  }
}

/** Clock ticks from the boot to its start: the 22nd field of its `stat` (proc(5)), the 20th after its name. */
async function linuxStartTime(pid: number): Promise<string> {
  const text = await readFile(`/proc/${pid}/stat`, 'utf8').catch(() => '');
  const [state, ...fields] = text.slice(text.lastIndexOf(')') + 2).split(' ');
  return state === 'Z' || state === 'X' ? ENDED : (fields[18] ?? '');
}
