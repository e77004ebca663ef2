/** @file Keeps existing files: a run replaces one only if it is asked to. */

import { stat } from 'node:fs/promises';
import { ArgumentError } from '../errors.ts';

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
    if (path === undefined || !found) continue;
    if (found.isDirectory()) throw new ArgumentError(`${path} exists and is a folder; give another name`);
    if (!overwrite) throw existsError(path);
  }
}

/** Makes the error for an output that exists. */
export function existsError(path: string): ArgumentError {
  return new ArgumentError(`${path} exists; give --overwrite to replace it, or another name`);
}
