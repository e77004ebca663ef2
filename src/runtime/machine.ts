/**
 * @file The cores and memory that this process may use: in a container the quotas of its control groups (cgroup v1 and
 * v2), not the host's cores and memory (Node only).
 */

import { readFileSync } from 'node:fs';
import { availableParallelism, cpus, totalmem } from 'node:os';
import { dirname, join } from 'node:path';
import { attempt } from '../attempt.ts';
import { ArgumentError } from '../errors.ts';

/**
 * Reads the limits of this process.
 * @param root folder that stands for the file system's root, in tests
 */
export function machine(root = '/') {
  const groups = controlGroups(root);
  return {
    /** Rounded up: two for a quota of one and a half. */
    cores: Math.max(1, Math.ceil(Math.min(availableParallelism(), ...groups.flatMap(coresOf)))),
    /** In bytes. */
    memory: Math.min(totalmem(), ...groups.flatMap(memoryOf)),
  };
}

/** Vector extensions that matter for the speed of products, as Linux names them. */
const EXTENSIONS = ['avx2', 'avx512f', 'avx512_vnni', 'avx_vnni', 'avx512_bf16', 'amx_tile'];

/** Describes the processor: its name, its vector extensions, and the number of cores of the host. */
export function processor(): string {
  const flags = new Set(text('/proc/cpuinfo').split(/\s+/));
  const extensions = EXTENSIONS.filter((name) => flags.has(name));
  return `${cpus()[0]?.model ?? 'unknown processor'} (${extensions.join(', ')}), ${cpus().length} cores`;
}

/** A folder of a control group, and its controllers. */
interface ControlGroup {
  readonly folder: string;
  /** '' is version 2, which limits everything. */
  readonly controllers: readonly string[];
}

/** @throws {ArgumentError} if `what` needs more bytes than this process may use */
export function requireMemory(needed: number, what: string, remedy: string): void {
  const { memory } = machine();
  if (needed <= memory) return;
  throw new ArgumentError(
    `${what} needs about ${gigabytes(needed)}, but this process may use only ${gigabytes(memory)}; ${remedy}`,
  );
}

function gigabytes(bytes: number): string {
  return `${(bytes / 1e9).toPrecision(3)} GB`;
}

/**
 * Lists the control groups of this process, with their parents. The path in `/proc/self/cgroup` is the host's if a
 * container has a view of its own; then the folder of the mount itself is the container's.
 */
function controlGroups(root: string): ControlGroup[] {
  const lines = text(join(root, 'proc/self/cgroup')).split('\n');
  return lines.flatMap((line) => {
    const [, list, path] = /^\d+:([^:]*):(\/.*)$/.exec(line) ?? [];
    if (list === undefined || path === undefined) return [];
    const controllers = list.split(',');
    const mounts = list === '' ? ['', 'unified'] : [list, ...controllers];
    return mounts.flatMap((mount) =>
      pathsUp(path).map((group) => ({ folder: join(root, 'sys/fs/cgroup', mount, group), controllers })),
    );
  });
}

/** Returns a path and its parent folders: `/a/b`, `/a`, `/`. */
function pathsUp(path: string): string[] {
  return path === '/' ? [path] : [path, ...pathsUp(dirname(path))];
}

/** CPU time per wall-clock time. */
function coresOf({ folder, controllers }: ControlGroup): number[] {
  const [quota, period] = text(join(folder, 'cpu.max')).trim().split(' ');
  const v2 = ratio(quota, period);
  if (!controllers.includes('cpu')) return [v2];
  return [v2, ratio(text(join(folder, 'cpu.cfs_quota_us')), text(join(folder, 'cpu.cfs_period_us')))];
}

function memoryOf({ folder, controllers }: ControlGroup): number[] {
  const v2 = limit(text(join(folder, 'memory.max')));
  return controllers.includes('memory') ? [v2, limit(text(join(folder, 'memory.limit_in_bytes')))] : [v2];
}

function ratio(quota: string | undefined, period: string | undefined): number {
  const cores = limit(quota) / limit(period);
  return cores > 0 ? cores : Number.POSITIVE_INFINITY;
}

/** Reads a number above 0, or infinity: "no limit" is `max`, `-1`, a number larger than any memory, or no file. */
function limit(value = ''): number {
  const number = Number(value.trim() || Number.NaN);
  return number > 0 ? number : Number.POSITIVE_INFINITY;
}

function text(path: string): string {
  return attempt(() => readFileSync(path, 'utf8'), ''); // no such limit
}
