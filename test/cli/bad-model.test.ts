/** @file Models that are none: one line that says what is wrong and what to do, and exit code 2. */

import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { saveOfficial } from '../../src/checkpoints/official-writer.ts';
import { saveModel } from '../../src/checkpoints/save.ts';
import type { LazyTensor } from '../../src/formats/tensor-archive.ts';
import type { AcditConfig } from '../../src/models/acdit/config.ts';
import { float32, type Tensor } from '../../src/tensor/tensor.ts';
import { runInProcess } from '../support/cli.ts';
import { formulaWeights, paperImageConfig } from '../support/formula-weights.ts';
import { golden } from '../support/golden.ts';
import { checkpoint, pickle, reduce, text, tuple } from '../support/pickle-writer.ts';
import { temporaryFolder } from '../support/temporary-folder.ts';
import { tinyLatents, tinyPixels } from '../support/tiny-model.ts';

const twoLayers: AcditConfig = { ...tinyPixels, layers: 2 };

/** Run a command and expect it to refuse its input. */
async function expectBadInput(args: readonly string[], ...messages: RegExp[]): Promise<void> {
  const { code, stdout, stderr } = await runInProcess(args);
  expect(stderr.trimEnd().split('\n')).toHaveLength(1);
  for (const message of messages) expect(stderr).toMatch(message);
  expect({ code, stdout }).toEqual({ code: 2, stdout: '' });
}

function fileOf(name: string, content: Uint8Array | string): string {
  const path = join(temporaryFolder(), name);
  mkdirSync(dirname(path), { recursive: true });
  writeFileSync(path, content);
  return path;
}

async function folderOf(
  config: AcditConfig,
  weights: ReadonlyMap<string, Tensor<'float32'>>,
): Promise<string> {
  const folder = join(temporaryFolder(), 'model');
  await saveModel(folder, config, weights);
  return folder;
}

const LFS = 'version https://git-lfs.github.com/spec/v1\noid sha256:4d7a2146\nsize 2699510526\n';

/** The bytes of a safetensors file with such a header, and so many bytes of data. */
function safetensors(header: object, data: number, length?: number): Uint8Array {
  const json = Buffer.from(JSON.stringify(header));
  const prefix = Buffer.alloc(8);
  prefix.writeBigUInt64LE(BigInt(length ?? json.length));
  return Buffer.concat([prefix, json, Buffer.alloc(data)]);
}

const entry = (begin: number, end: number) => ({
  dtype: 'F32',
  shape: [(end - begin) / 4],
  data_offsets: [begin, end],
});

describe('a file that is no model', () => {
  const files: [
    what: string,
    name: string,
    content: () => Uint8Array | string | Promise<Uint8Array>,
    message: RegExp,
  ][] = [
    ['empty', 'm.pt', () => '', /m.pt: is empty, so its download or copy failed/],
    [
      'a web page',
      'm.pt',
      () => '<!DOCTYPE html>\n<html><body>Not found</body></html>',
      /m.pt: is a web page/,
    ],
    ['a git-lfs pointer', 'm.pt', () => LFS, /m.pt: is a git-lfs pointer, .*git lfs pull/],
    ['cut off', 'm.pt', () => readFileSync(golden('image-tiny.pt')).subarray(0, 1e6), /m.pt: is cut off/],
    ['foreign', 'm.pt', () => readFileSync(golden('image-tiny.npz')), /should hold one data.pkl but has 0/],
    [
      'malicious',
      'm.pt',
      () => checkpoint(pickle(reduce('os', 'system', tuple(text('true'))))),
      /m.pt: asks for os.system, which runs code: the file is malicious/,
    ],
    [
      'another format',
      'm.pt',
      () => safetensors({ a: entry(0, 4) }, 4),
      /is a safetensors file; its name should end/,
    ],
  ];
  it.each(files)('%s', async (_, name, content, message) => {
    const path = fileOf(name, await content());
    await expectBadInput(['sample', path], message);
    await expectBadInput(['info', path], message);
  });

  it('missing, or a folder without a model', async () => {
    await expectBadInput(['sample', '/nowhere/m.pt'], /no such model; give a model folder/);
    await expectBadInput(
      ['sample', temporaryFolder()],
      /config.json: cannot be read \(ENOENT\); a model folder holds/,
    );
  });
});

describe('a safetensors file that lies', () => {
  const files: [what: string, content: Uint8Array | string, message: RegExp][] = [
    ['a git-lfs pointer', LFS, /model.safetensors: is a git-lfs pointer/],
    [
      'tensors that overlap',
      safetensors({ a: entry(0, 8), b: entry(4, 12) }, 12),
      /b: starts at 4, not at 8: .*overlap/,
    ],
    ['gaps', safetensors({ a: entry(0, 4), b: entry(8, 12) }, 12), /b: starts at 8, not at 4: .*gaps/],
    ['more data than tensors', safetensors({ a: entry(0, 4) }, 12), /its tensors take 4 bytes but 12 follow/],
    [
      'tensors beyond the end',
      safetensors({ a: entry(0, 4000) }, 12),
      /its tensors take 4000 bytes but 12 follow/,
    ],
    ['a huge header', safetensors({}, 12, 2 ** 50), /its header should take 1125899906842624 bytes of/],
    [
      'an absurd shape',
      safetensors({ a: { ...entry(0, 4), shape: [2 ** 40, 2 ** 40] } }, 4),
      /shape .* is implausibly large/,
    ],
    ['no JSON', Buffer.from('\x04\0\0\0\0\0\0\0{"a"', 'latin1'), /header: not valid JSON/],
  ];
  it.each(files)('%s', async (_, content, message) => {
    const folder = await folderOf(tinyPixels, formulaWeights(tinyPixels));
    writeFileSync(join(folder, 'model.safetensors'), content);
    await expectBadInput(['sample', folder], message);
  });
});

describe('weights that do not fit', () => {
  const layer = (name: string): string[] => [0, 1].map((index) => `blocks.${index}.${name}`);

  function changed(): Map<string, Tensor<'float32'>> {
    const weights = new Map(formulaWeights(twoLayers));
    for (const name of ['x_embedder.weight', ...layer('norm2.weight')]) weights.delete(name);
    for (const name of ['extra', 'pos_embed']) weights.set(name, float32([1], [0]));
    for (const name of ['final_layer.linear.bias', ...layer('attn.q_norm.weight')])
      weights.set(name, float32([5], [0, 0, 0, 0, 0]));
    return weights;
  }

  const all = [
    /missing: x_embedder.weight, blocks.\{0,1\}.norm2.weight;/,
    /of shape \[5\] instead of \[32\]: blocks.\{0,1\}.attn.q_norm.weight;/,
    /of shape \[5\] instead of \[4\]: final_layer.linear.bias;/,
    /unknown: extra, pos_embed/,
  ];

  it('are all listed, of a folder', async () => {
    await expectBadInput(['sample', await folderOf(twoLayers, changed())], ...all);
  });

  it('are all listed, of an official checkpoint', async () => {
    const path = join(temporaryFolder(), 'm.pt');
    const tensors = [...changed()].map(([name, tensor]): [string, LazyTensor] => [
      name,
      { dtype: tensor.dtype, shape: tensor.shape, read: async () => tensor },
    ]);
    await saveOfficial(path, twoLayers, new Map(tensors));
    await expectBadInput(['sample', path], ...all);
  });

  it('in their number of classes', async () => {
    const folder = await folderOf(tinyPixels, formulaWeights(tinyPixels));
    const path = join(folder, 'config.json');
    const config = JSON.parse(readFileSync(path, 'utf8'));
    writeFileSync(path, JSON.stringify({ ...config, classes: 1000, classNames: undefined }));
    await expectBadInput(
      ['sample', folder],
      /of shape \[4,32\] instead of \[1001,32\]: y_embedder.embedding_table/,
    );
  });

  it('that are NaN or infinite are all named', async () => {
    const weights = new Map(formulaWeights(twoLayers));
    for (const name of layer('mlp.fc1.bias')) weights.get(name)!.data[3] = Number.NaN;
    weights.get('final_layer.linear.weight')!.data[0] = Number.POSITIVE_INFINITY;
    await expectBadInput(
      ['sample', await folderOf(twoLayers, weights), '--json', '--steps', '2', '--out', temporaryFolder()],
      /weights of the model are NaN or infinite, .*: blocks.\{0,1\}.mlp.fc1.bias, final_layer.linear.weight; use an earlier/,
    );
  });
});

describe('what does not fit the model', () => {
  it('labels beyond its classes', async () => {
    await expectBadInput(['sample', golden('image-tiny.pt'), '--labels', '3,10'], /10/, /9/);
  });

  it('an autoencoder with other channels', async () => {
    const model = { ...tinyLatents, channels: 8 };
    await expectBadInput(
      ['sample', await folderOf(model, formulaWeights(model)), '--vae', golden('vae-tiny')],
      /8 channels|channels.* 8/,
    );
  });

  it('a size of pictures that no memory holds', async () => {
    const huge = {
      ...paperImageConfig('B'),
      height: 2 ** 20,
      width: 2 ** 20,
      blockSize: 2 ** 30,
      blocks: 2 ** 10,
    };
    const folder = await folderOf(tinyPixels, formulaWeights(tinyPixels));
    writeFileSync(join(folder, 'config.json'), JSON.stringify(huge));
    await expectBadInput(['sample', folder], /tokens/);
  });
});

describe('texts of a model', () => {
  const hostile = '\x1b[2J\x9b31m\u202ebag\r\n';

  it('do not reach the terminal as they are, and letters of all scripts do', async () => {
    const folder = await folderOf(
      { ...tinyPixels, classNames: ['猫', 'kočka', hostile] },
      formulaWeights(tinyPixels),
    );
    const { code, stdout } = await runInProcess(['info', folder]);
    expect(code).toBe(0);
    expect(stdout).toContain('猫, kočka');
    expect(stdout).not.toMatch(/(?!\n)[\p{Cc}\p{Cf}]/u);
    const json = (await runInProcess(['info', folder, '--json'])).stdout;
    expect(json).not.toMatch(/(?!\n)[\p{Cc}\p{Cf}]/u);
    expect(JSON.parse(json).config.classNames[2]).toBe(hostile);
  });

  it('are quoted briefly in messages', async () => {
    const folder = await folderOf(tinyPixels, formulaWeights(tinyPixels));
    for (const text of [`{"modelType": "${'x'.repeat(100_000)}"}`, `${hostile}${'y'.repeat(100_000)}`]) {
      writeFileSync(join(folder, 'config.json'), text);
      const { code, stderr } = await runInProcess(['info', folder]);
      expect(code).toBe(2);
      expect(stderr).toMatch(/^acdit: [^\p{Cc}\p{Cf}]*\n$/u);
      expect(stderr.length).toBeLessThan(1000);
    }
  });
});
