import { copyFileSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { beforeEach, describe, expect, it } from 'vitest';
import { formulaWeights } from '../../test/support/formula-weights.ts';
import { writeShards } from '../../test/support/shards.ts';
import { temporaryFolder } from '../../test/support/temporary-folder.ts';
import { tinyConfig } from '../../test/support/tiny-config.ts';
import { CheckpointError, FormatError } from '../errors.ts';
import { loadModel, openModel } from './load.ts';
import { saveModel } from './save.ts';

const config = tinyConfig({});
const weights = formulaWeights(config);
const INDEX = 'model.safetensors.index.json';
const SHARD = 'model-00002-of-00003.safetensors';

let folder: string;
beforeEach(async () => {
  folder = temporaryFolder();
  await saveModel(folder, config, weights);
  rmSync(join(folder, 'model.safetensors'));
  writeShards(folder, INDEX, [...weights]);
});

interface Index {
  weight_map: Record<string, unknown>;
}

/** The index with another entry. */
const withEntry =
  (name: string, file: (before: unknown) => unknown) =>
  ({ weight_map }: Index): Index => ({ weight_map: { ...weight_map, [name]: file(weight_map[name]) } });

function changeIndex(change: (index: Index) => unknown): void {
  const index = JSON.parse(readFileSync(join(folder, INDEX), 'utf8')) as Index;
  writeFileSync(join(folder, INDEX), JSON.stringify(change(index) ?? index));
}

describe('a model in several files', () => {
  it('is opened by its folder, its index, or one of its files', async () => {
    for (const path of [folder, join(folder, INDEX), join(folder, SHARD)]) {
      expect(await loadModel(path)).toEqual({ config, weights });
    }
  });

  it('may have an index with a byte order mark', async () => {
    writeFileSync(join(folder, INDEX), `\ufeff${readFileSync(join(folder, INDEX), 'utf8')}`);
    expect(await loadModel(folder)).toEqual({ config, weights });
  });

  it('gives way to a whole file', async () => {
    const other = temporaryFolder();
    await saveModel(other, config, weights);
    copyFileSync(join(other, 'model.safetensors'), join(folder, 'model.safetensors'));
    writeFileSync(join(folder, INDEX), '{');
    expect(await loadModel(folder)).toEqual({ config, weights });
    await expect(openModel(join(folder, INDEX))).rejects.toThrow(/index.json: not valid JSON/);
  });

  it('does without its index where all tensors are in one file', async () => {
    rmSync(join(folder, INDEX));
    await expect(openModel(join(folder, SHARD))).rejects.toThrow(CheckpointError);
  });

  it.each([
    '../secret.safetensors',
    '/etc/secret.safetensors',
    'a\\b.safetensors',
    'C:x.safetensors',
    '..',
    'x.bin',
    'a\0.safetensors',
    '\x1b[2J.safetensors',
    '\u202ex.safetensors',
    `${'x'.repeat(244)}.safetensors`,
  ])('reads no file elsewhere: %j', async (file) => {
    changeIndex(withEntry('x_embedder.weight', () => file));
    await expect(openModel(folder)).rejects.toThrow(
      /expected a \.safetensors file in the same folder, without a path/,
    );
  });

  it.each<[string, (index: Index) => unknown, RegExp]>([
    ['is a list', () => [], /not the index of sharded safetensors/],
    ['maps to numbers', () => ({ weight_map: { a: 1 } }), /weight_map.a/],
    ['names no files', () => ({ weight_map: {} }), /names 0 files; expected 1 to 1000/],
    [
      'names too many files',
      () => ({
        weight_map: Object.fromEntries(Array.from({ length: 1001 }, (_, i) => [i, `${i}.safetensors`])),
      }),
      /names 1001 files; expected 1 to 1000/,
    ],
    [
      'names a file that is missing',
      withEntry('a', () => 'no.safetensors'),
      /no.safetensors: there is no such file/,
    ],
    [
      'has a tensor too many',
      withEntry('a', () => SHARD),
      /says that a is in model-00002.* does not hold it/,
    ],
    [
      'has a tensor too few',
      ({ weight_map }) => void delete weight_map['x_embedder.weight'],
      /does not say that x_embedder.weight is in/,
    ],
    [
      'has a tensor in another file',
      withEntry('x_embedder.weight', (file) => (file === SHARD ? 'model-00001-of-00003.safetensors' : SHARD)),
      /says that x_embedder.weight is in/,
    ],
  ])('is refused if its index %s', async (_, change, message) => {
    changeIndex(change);
    await expect(openModel(folder)).rejects.toThrow(FormatError);
    await expect(openModel(folder)).rejects.toThrow(message);
  });

  it('is refused if one of its files is damaged', async () => {
    writeFileSync(join(folder, SHARD), 'x'.repeat(100));
    await expect(openModel(folder)).rejects.toThrow(new RegExp(`${SHARD}: is not a whole safetensors file`));
  });
});
