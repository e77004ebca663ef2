/** @file Safetensors on disk, in one file or in several with an index. */

import { readFile, stat } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { FormatError } from '../errors.ts';
import { openSafetensors } from '../formats/safetensors.ts';
import {
  isShardIndex,
  MAX_INDEX,
  openShards,
  parseShardIndex,
  type ShardIndex,
} from '../formats/sharded-safetensors.ts';
import type { TensorArchive } from '../formats/tensor-archive.ts';
import { isFile, openFile } from '../io/file-source.ts';

/** Returns the name of the index of the files that make up `file`. */
export function shardIndexOf(file: string): string {
  return `${file.replace(/-\d{5}-of-\d{5}(?=\.safetensors$)/, '')}.index.json`;
}

/**
 * Open a `.safetensors` file, or all files of an index. The path may be that of the index, of one of its files, or of the
 * single file that the index replaces.
 * @throws {FormatError} if a file is missing or damaged, or the files are not what the index says.
 */
export async function openSafetensorsFiles(path: string): Promise<TensorArchive> {
  const index = isShardIndex(path) ? path : shardIndexOf(path);
  const isWhole = index === `${path}.index.json` && (await isFile(path));
  if (index !== path && (isWhole || !(await isFile(index)))) return openSafetensors(await openFile(path));
  return openShards(await readShardIndex(index), index, (file) => openFile(join(dirname(index), file)));
}

/** @throws {FormatError} if it is missing, or not an index. */
export async function readShardIndex(path: string): Promise<ShardIndex> {
  const stats = await stat(path).catch(() => undefined);
  if (!stats?.isFile()) throw new FormatError(`${path}: there is no such file`);
  if (stats.size > MAX_INDEX) {
    throw new FormatError(
      `${path}: has ${stats.size} bytes, more than the limit of ${MAX_INDEX} for an index`,
    );
  }
  return parseShardIndex(await readFile(path, 'utf8'), path);
}
