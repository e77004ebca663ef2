/** @file A disk that is soon full. */

import { spawnSync } from 'node:child_process';
import { mkdirSync } from 'node:fs';
import { onTestFinished } from 'vitest';

/** Makes a file system of some kB in memory, where this user may; it is removed when the test ends. */
export function mountSmallDisk(path: string, kilobytes: number): boolean {
  mkdirSync(path, { recursive: true });
  const { status } = spawnSync('mount', ['-t', 'tmpfs', '-o', `size=${kilobytes}k`, 'tmpfs', path]);
  if (status === 0) onTestFinished(() => void spawnSync('umount', [path]));
  return status === 0;
}

/** Makes it larger. */
export function enlargeDisk(path: string, kilobytes: number): void {
  spawnSync('mount', ['-o', `remount,size=${kilobytes}k`, path]);
}
