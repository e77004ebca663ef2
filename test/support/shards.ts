/** @file Safetensors in several files, as Transformers' save_pretrained(max_shard_size=...) writes them. */

import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { encodeSafetensors } from '../../src/formats/safetensors.ts';
import type { Tensor } from '../../src/tensor/tensor.ts';

/** The files of three shards and their index, by name. */
export function shards(
  index: string,
  tensors: readonly (readonly [string, Tensor])[],
): Record<string, Uint8Array> {
  const stem = index.replace(/\.safetensors\.index.*$/, '');
  const files: Record<string, Uint8Array> = {};
  const weight_map: Record<string, string> = {};
  for (const shard of [0, 1, 2]) {
    const file = `${stem}-0000${shard + 1}-of-00003.safetensors`;
    const part = tensors.filter((_, i) => i % 3 === shard);
    files[file] = encodeSafetensors(part, { format: 'pt' });
    for (const [name] of part) weight_map[name] = file;
  }
  files[index] = new TextEncoder().encode(JSON.stringify({ metadata: { total_size: 1 }, weight_map }));
  return files;
}

/** Write three shards and their index into a folder. */
export function writeShards(
  folder: string,
  index: string,
  tensors: readonly (readonly [string, Tensor])[],
): void {
  for (const [name, bytes] of Object.entries(shards(index, tensors)))
    writeFileSync(join(folder, name), bytes);
}
