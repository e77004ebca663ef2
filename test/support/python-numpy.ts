/** @file NumPy, where it is installed. */

import { spawnSync } from 'node:child_process';

export const pythonWithNumpy = ['python3', '/usr/bin/python3'].find(
  (command) => spawnSync(command, ['-c', 'import numpy']).status === 0,
);
if (pythonWithNumpy === undefined) {
  console.warn('SKIPPED: no python3 with numpy here (Debian: apt-get install python3-numpy)');
}

/** Run a program that prints JSON. */
export function runNumpy(script: string, ...args: string[]): unknown {
  const { status, stdout, stderr } = spawnSync(pythonWithNumpy!, ['-c', script, ...args], {
    encoding: 'utf8',
  });
  if (status !== 0) throw new Error(`Python failed: ${stderr}`);
  return JSON.parse(stdout);
}
