/** @file PyTorch, where it is installed: Debian has it as python3-torch. */

import { spawnSync } from 'node:child_process';

/** A Python with PyTorch; the system's own may be another than the first in the path. */
export const pythonWithTorch = ['python3', '/usr/bin/python3'].find(
  (command) => spawnSync(command, ['-c', 'import torch, numpy']).status === 0,
);
if (pythonWithTorch === undefined) {
  console.warn('SKIPPED: no python3 with torch and numpy here (Debian: apt-get install python3-torch)');
}

/** Run a program that prints JSON. */
export function runPython(script: string, ...args: string[]): unknown {
  const { status, stdout, stderr } = spawnSync(pythonWithTorch!, ['-c', script, ...args], {
    encoding: 'utf8',
    maxBuffer: 2 ** 28,
  });
  if (status !== 0) throw new Error(`Python failed: ${stderr}`);
  return JSON.parse(stdout);
}
