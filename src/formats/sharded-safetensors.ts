/**
 * @file Safetensors in several files, as Transformers, Accelerate and Diffusers write large models: an index next to
 * them, `NAME.safetensors.index.json`, maps each tensor to its file.
 */

import { z } from 'zod';
import { at } from '../at.ts';
import { FormatError } from '../errors.ts';
import { type ByteSource, closingOnError } from '../io/byte-source.ts';
import { parseJsonOf } from '../io/json.ts';
import { printable } from '../io/printable.ts';
import { openSafetensors, type SafetensorsArchive } from './safetensors.ts';
import { findTensor, type TensorArchive } from './tensor-archive.ts';

/** The end of an index's name. Diffusers puts a variant such as `fp16` before `json`. */
const INDEX_NAME = /\.safetensors\.index(?:\.\w+)?\.json$/;
/** A file's name, without a path, no longer than file systems allow and fit to be shown. */
const SHARD_NAME = /^[^/\\:\p{Cc}\p{Cs}\u200e\u200f\u202a-\u202e\u2066-\u2069]{1,243}\.safetensors$/u;
/** Max files that are open at once. */
const MAX_SHARDS = 1000;
/** Max bytes of an index: about 100,000 tensors. */
export const MAX_INDEX = 16 * 2 ** 20;

const schema = z.object({ weight_map: z.record(z.string(), z.string()) });

/** File names without a folder, in the order in which the index names them, and the file of each tensor. */
export type ShardIndex = ReturnType<typeof parseShardIndex>;

/** Checks whether a file of this name is an index. */
export function isShardIndex(name: string): boolean {
  return INDEX_NAME.test(name);
}

/** Parses an index. @throws {FormatError} if it is not one, or names a file that is not in its own folder. */
export function parseShardIndex(text: string, name: string) {
  const { weight_map } = parseJsonOf(text, name, schema, 'not the index of sharded safetensors', FormatError);
  const fileOf = new Map(Object.entries(weight_map));
  const files = [...new Set(fileOf.values())];
  if (files.length === 0 || files.length > MAX_SHARDS) {
    throw new FormatError(`${name}: names ${files.length} files; expected 1 to ${MAX_SHARDS}`);
  }
  const stray = files.find((file) => !SHARD_NAME.test(file));
  if (stray !== undefined) {
    throw new FormatError(
      `${name}: names the file ${printable(stray)}; expected a .safetensors file in the same folder, without a path`,
    );
  }
  return { files, fileOf };
}

/**
 * Opens all files of an index as one archive; only their headers are read.
 * @param open opens a file by its name.
 * @throws {FormatError} if a file is missing or damaged, or does not hold exactly the tensors that the index says.
 */
export async function openShards(
  { files, fileOf }: ShardIndex,
  name: string,
  open: (file: string) => Promise<ByteSource>,
): Promise<TensorArchive> {
  const shards = new Map<string, SafetensorsArchive>();
  const close = async (): Promise<void> => {
    for (const shard of shards.values()) await shard.close();
  };
  await closingOnError({ close }, async () => {
    for (const file of files) shards.set(file, await openSafetensors(await open(file)));
    requireSameTensors(shards, fileOf, name);
  });
  const shardOf = (tensor: string): SafetensorsArchive =>
    shards.get(findTensor(fileOf, tensor, `${name}: holds no tensor`))!;
  return {
    metadata: at([...shards.values()], 0).metadata,
    names: [...fileOf.keys()],
    has: (tensor) => fileOf.has(tensor),
    info: (tensor) => shardOf(tensor).info(tensor),
    read: async (tensor, room) => shardOf(tensor).read(tensor, room),
    placeOf: (tensor) => shardOf(tensor).placeOf?.(tensor),
    files: [...shards.values()].flatMap(({ files = [] }) => files),
    close,
  };
}

function requireSameTensors(
  shards: ReadonlyMap<string, SafetensorsArchive>,
  fileOf: ReadonlyMap<string, string>,
  name: string,
): void {
  const remedy = 'get the index and its files again';
  for (const [tensor, file] of fileOf) {
    if (shards.get(file)!.has(tensor)) continue;
    throw new FormatError(
      `${name}: says that ${printable(tensor)} is in ${printable(file)}, which does not hold it; ${remedy}`,
    );
  }
  for (const [file, { names }] of shards) {
    const stray = names.find((tensor) => fileOf.get(tensor) !== file);
    if (stray === undefined) continue;
    throw new FormatError(
      `${name}: does not say that ${printable(stray)} is in ${printable(file)}, which holds it; ${remedy}`,
    );
  }
}
