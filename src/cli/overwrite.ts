/** @file Keeps existing files: a command replaces one only with `--overwrite`. */

import { stat } from 'node:fs/promises';
import { ArgumentError } from '../errors.ts';
import type { Flags } from './flags.ts';

export const overwriteFlags = {
  overwrite: { help: 'replace output files that exist' },
} as const satisfies Flags;

/**
 * Checks, before any work, that files can be written without loss.
 * @param paths of files to write; undefined ones are left out.
 * @throws {ArgumentError} if one of them exists and `overwrite` is not set, or is a folder.
 */
export async function requireFreeFiles(
  paths: readonly (string | undefined)[],
  overwrite: boolean | undefined,
): Promise<void> {
  for (const path of paths) {
    const found = path === undefined ? undefined : await stat(path).catch(() => undefined);
    if (!found) continue;
    if (found.isDirectory()) throw new ArgumentError(`${path} exists and is a folder; give another name`);
    if (!overwrite) throw occupied(path!);
  }
}

/** Makes the error for an output that exists. */
export function occupied(path: string): ArgumentError {
  return new ArgumentError(`${path} exists; give --overwrite to replace it, or another name`);
}
