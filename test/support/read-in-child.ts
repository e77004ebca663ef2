/** @file Reading a file in a process of its own, whose peak memory shows what reading costs. */

import { spawnSync } from 'node:child_process';
import { createRequire } from 'node:module';
import { fileURLToPath, pathToFileURL } from 'node:url';

const LOADER = pathToFileURL(createRequire(import.meta.url).resolve('tsx')).href;
const CHILD = fileURLToPath(new URL('read-child.ts', import.meta.url));

export interface ReadCost {
  /** Tensors that were read, unless there was an error. */
  readonly count?: number;
  /** Name and message of the error. */
  readonly error?: string;
  /** Peak of the resident memory beyond what the process takes without the file. */
  readonly megabytes: number;
  /** Processor time. */
  readonly seconds: number;
}

/** Read a `.npz`, `.pt` or `.pb` file, and all tensors in it; or images, IDX data or a video: see read-child.ts. */
export function readInChild(path: string): ReadCost {
  const { stdout, stderr } = spawnSync(process.execPath, ['--import', LOADER, CHILD, path], {
    encoding: 'utf8',
  });
  if (stdout === '') throw new Error(`the child printed nothing: ${stderr}`);
  return JSON.parse(stdout) as ReadCost;
}
