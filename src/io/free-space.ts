/** @file Free space on a disk. */

import { statfs } from 'node:fs/promises';
import { formatBytes } from './quantities.ts';

/** Returns what is missing if fewer bytes than needed are free where a folder is; undefined if there is enough space. */
export async function missingSpace(folder: string, needed: number): Promise<string | undefined> {
  const { bavail, bsize, blocks } = await statfs(folder);
  const free = bavail * bsize;
  if (blocks === 0 || free >= needed) return undefined; // some file systems do not state it
  return `${formatBytes(needed)} are needed in ${folder}, and ${formatBytes(free)} are free`;
}
