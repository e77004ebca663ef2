/** @file What a person sees in a folder. */

import { readdirSync } from 'node:fs';

/** Names of a folder's files and folders in order, without hidden ones such as records of runs. */
export function visibleFiles(folder: string): string[] {
  return readdirSync(folder)
    .filter((name) => !name.startsWith('.'))
    .sort();
}
