/**
 * @file The cores and memory that this process may use: in a container the quotas of its control groups (cgroup v1 and
 * v2), not the host's cores and memory (Node only).
 */

import { readFileSync } from 'node:fs';
import { availableParallelism, totalmem } from 'node:os';
import { dirname, join } from 'node:path';

/** The cores and memory that a process may use. */
export interface Machine {
  /** Cores, rounded up: two for a quota of one and a half. */
  readonly cores: number;
  /** Memory in bytes. */
  readonly memory: number;
}

/**
 * Reads the limits of this process.
 * @param root folder that stands for the file system's root, in tests
 */
export function machine(root = '/'): Machine {
  const groups = controlGroups(root);
  const smallest = (values: readonly (number | undefined)[], most: number): number =>
    Math.min(most, ...values.filter((value) => value !== undefined));
  return {
    cores: Math.max(1, Math.ceil(smallest(groups.flatMap(coresOf), availableParallelism()))),
    memory: smallest(groups.flatMap(memoryOf), totalmem()),
  };
}

/** A folder of a control group, and its controllers. */
interface ControlGroup {
  readonly folder: string;
  /** '' is version 2, which limits everything. */
  readonly controllers: readonly string[];
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
function coresOf({ folder, controllers }: ControlGroup): (number | undefined)[] {
  const [quota, period] = text(join(folder, 'cpu.max')).trim().split(' ');
  const v2 = ratio(quota, period);
  if (!controllers.includes('cpu')) return [v2];
  return [v2, ratio(text(join(folder, 'cpu.cfs_quota_us')), text(join(folder, 'cpu.cfs_period_us')))];
}

function memoryOf({ folder, controllers }: ControlGroup): (number | undefined)[] {
  const v2 = positive(text(join(folder, 'memory.max')));
  return controllers.includes('memory') ? [v2, positive(text(join(folder, 'memory.limit_in_bytes')))] : [v2];
}

function ratio(quota: string | undefined, period: string | undefined): number | undefined {
  const [a, b] = [positive(quota), positive(period)];
  return a !== undefined && b !== undefined ? a / b : undefined;
}

/** Reads a number above 0; "no limit" is written `max`, `-1`, or a number larger than any memory. */
function positive(value = ''): number | undefined {
  const number = Number(value.trim() || Number.NaN);
  return number > 0 ? number : undefined;
}

function text(path: string): string {
  try {
    return readFileSync(path, 'utf8');
  } catch {
    return ''; // no such limit
  }
}
