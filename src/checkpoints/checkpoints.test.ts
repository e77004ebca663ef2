import { copyFileSync, mkdirSync, readFileSync, rmSync, truncateSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { countingSource } from '../../test/support/counting-source.ts';
import { formulaWeights } from '../../test/support/formula-weights.ts';
import { golden, relativeError } from '../../test/support/golden.ts';
import {
  checkpoint,
  dict,
  int,
  namespace,
  pickle,
  tensor,
  text,
  tuple,
} from '../../test/support/pickle-writer.ts';
import { temporaryFolder } from '../../test/support/temporary-folder.ts';
import { tinyConfig } from '../../test/support/tiny-config.ts';
import { AcditError, CheckpointError, ConfigError, FormatError } from '../errors.ts';
import { writeSafetensors } from '../formats/safetensors-writer.ts';
import { openTorchCheckpoint } from '../formats/torch/checkpoint.ts';
import { bytesSource } from '../io/byte-source.ts';
import { parameters } from '../models/acdit/weights.ts';
import { elementCount, float32, type Tensor, tensorBytes } from '../tensor/tensor.ts';
import { loadModel, openModel, readWeights } from './load.ts';
import { openOfficial } from './official.ts';
import { saveModel } from './save.ts';

const config = tinyConfig({ classNames: ['a', 'b', 'c'] });
const weights = formulaWeights(config);

function withFirst({ shape, data }: Tensor<'float32'>, value: number): Tensor<'float32'> {
  return float32(shape, [value, ...data.subarray(1)]);
}

async function savedModel(): Promise<string> {
  const folder = join(temporaryFolder(), 'deep', 'model');
  await saveModel(folder, config, weights);
  return folder;
}

async function expectRefusal(path: string, kind: typeof AcditError, message: RegExp): Promise<void> {
  await expect(openModel(path)).rejects.toThrow(kind);
  await expect(openModel(path)).rejects.toThrow(message);
}

describe('a model folder', () => {
  it('gives back what was saved, also by its weights file', async () => {
    const folder = await savedModel();
    expect(await loadModel(folder)).toEqual({ config, weights });
    expect(await loadModel(join(folder, 'model.safetensors'))).toEqual({ config, weights });
    copyFileSync(join(folder, 'model.safetensors'), join(folder, 'other.safetensors'));
    rmSync(join(folder, 'model.safetensors'));
    expect(await loadModel(join(folder, 'other.safetensors'))).toEqual({ config, weights });
  });

  it('may hold half floats and metadata', async () => {
    const folder = temporaryFolder();
    await saveModel(folder, config, weights, { dtype: 'float16', metadata: { step: '7' } });
    const model = await openModel(folder);
    expect(model.archive.metadata).toEqual({ format: 'pt', step: '7' });
    expect(model.archive.info('x_embedder.weight').dtype).toBe('float16');
    const shares: number[] = [];
    const read = await readWeights(model, { onProgress: (share) => void shares.push(share) });
    for (const [name, value] of read) {
      expect(value.dtype).toBe('float32');
      expect(relativeError(value, weights.get(name)!), name).toBeLessThan(1e-3);
    }
    expect(shares[shares.length - 1]).toBe(1);
    await expect(readWeights(model, { signal: AbortSignal.abort() })).rejects.toThrow(/abort/);
    await model.archive.close();
  });

  // torch.tensor([65519, 65520]).half() is [65504, inf]
  it('is not written in half floats that would be infinite', async () => {
    const folder = temporaryFolder();
    const name = 'blocks.1.mlp.fc2.bias';
    const save = (value: number, dtype: 'float16' | 'bfloat16') =>
      saveModel(folder, config, new Map(weights).set(name, withFirst(weights.get(name)!, value)), { dtype });
    await save(65519, 'float16');
    expect((await loadModel(folder)).weights.get(name)!.data[0]).toBe(65504);
    const before = readFileSync(join(folder, 'model.safetensors'));
    for (const value of [65520, -1e30]) {
      await expect(save(value, 'float16')).rejects.toThrow(CheckpointError);
      await expect(save(value, 'float16')).rejects.toThrow(
        `blocks.1.mlp.fc2.bias: holds ${Math.fround(value)}, which would be infinite in float16 (at most 65504); store it as bfloat16 (--dtype bf16)`,
      );
    }
    expect(readFileSync(join(folder, 'model.safetensors'))).toEqual(before);
    await save(65520, 'bfloat16');
    await save(Number.POSITIVE_INFINITY, 'float16'); // it was before: loading says so
    await expect(save(3.4e38, 'bfloat16')).rejects.toThrow(/infinite in bfloat16/);
  });

  it('replaces a model', async () => {
    const folder = await savedModel();
    const other = tinyConfig({ layers: 1 });
    await saveModel(folder, other, formulaWeights(other));
    expect((await loadModel(folder)).config).toEqual(other);
  });

  it('of a training has the weights as trained last, too', async () => {
    const folder = await savedModel();
    await expect(openModel(folder, { weights: 'model' })).rejects.toThrow(/no trainer\/ state/);
    mkdirSync(join(folder, 'trainer'));
    for (const [step, factor] of [
      ['00000001', 3],
      ['00000010', 2],
    ] as const) {
      const trained = [...weights].map(([name, { shape, data }]): [string, Tensor] => [
        `weights.${name}`,
        float32(
          shape,
          data.map((value) => factor * value),
        ),
      ]);
      await writeSafetensors(join(folder, 'trainer', `step-${step}.safetensors`), [
        ...trained,
        ['ema.other', float32([1], [0])],
      ]);
    }
    const { weights: read } = await loadModel(folder, { weights: 'model' });
    const name = 'x_embedder.weight';
    expect(read.get(name)!.data).toEqual(weights.get(name)!.data.map((value) => 2 * value));
    expect(await loadModel(folder, { weights: 'ema' })).toEqual({ config, weights });
  });

  it('is refused if it is missing or incomplete', async () => {
    const folder = await savedModel();
    await expectRefusal(
      join(folder, 'nowhere'),
      CheckpointError,
      /nowhere: no such model; give a model folder/,
    );
    await expectRefusal(temporaryFolder(), CheckpointError, /config.json: cannot be read \(ENOENT\)/);
    truncateSync(join(folder, 'model.safetensors'), 5000);
    await expectRefusal(folder, FormatError, /model.safetensors/);
    rmSync(join(folder, 'model.safetensors'));
    await expectRefusal(folder, FormatError, /model.safetensors: there is no such file/);
    mkdirSync(join(folder, 'model.safetensors'));
    await expectRefusal(folder, FormatError, /is a directory/);
  });

  it.each<[string, (text: string) => string, typeof AcditError, RegExp]>([
    ['is not JSON', (text) => text.slice(0, -3), CheckpointError, /config.json: not valid JSON/],
    ['is of another model', (text) => text.replace('acdit', 'dit'), CheckpointError, /modelType/],
    ['lacks a field', (text) => text.replace('heads', 'hats'), CheckpointError, /heads: /],
    [
      'has a wrong type',
      (text) => text.replace('"heads": 3', '"heads": "3"'),
      CheckpointError,
      /heads: .*number/,
    ],
    [
      'does not fit together',
      (text) => text.replace('"heads": 3', '"heads": 5'),
      ConfigError,
      /config.json: .*heads/,
    ],
    [
      'is of other weights',
      (text) => text.replace('"layers": 2', '"layers": 3'),
      CheckpointError,
      /missing: blocks.2.norm1.weight, blocks.2/,
    ],
    [
      'has other sizes',
      (text) => text.replace('"classes": 3', '"classes": 4').replace('"c"', '"c", "d"'),
      CheckpointError,
      /\[4,24\] instead of \[5,24\]/,
    ],
  ])('is refused if its configuration %s', async (_, change, kind, message) => {
    const folder = await savedModel();
    const path = join(folder, 'config.json');
    const before = readFileSync(path, 'utf8');
    writeFileSync(path, change(before));
    expect(readFileSync(path, 'utf8')).not.toBe(before);
    await expectRefusal(folder, kind, message);
  });

  it('names every parameter that does not fit', async () => {
    const folder = await savedModel();
    const changed = new Map(weights);
    changed.delete('x_embedder.weight');
    for (const layer of [0, 1]) changed.delete(`blocks.${layer}.norm2.weight`);
    changed.set('extra', float32([1], [0]));
    changed.set('more', float32([1], [0]));
    changed.set('final_layer.linear.bias', float32([1], [0]));
    await writeSafetensors(join(folder, 'model.safetensors'), [...changed]);
    const message =
      /missing: x_embedder.weight, blocks.\{0,1\}.norm2.weight; of shape \[1\] instead of \[4\]: final_layer.linear.bias; unknown: extra, more$/;
    await expectRefusal(folder, CheckpointError, message);
  });
});

describe('an official checkpoint', () => {
  /** All parameters lie over one storage. */
  const largest = Math.max(...[...parameters(config).values()].map(elementCount));
  const model = dict(
    Object.fromEntries(
      [...parameters(config)].map(([name, shape]) => {
        const strides = shape.map((_, axis) => int(elementCount(shape.slice(axis + 1))));
        return [name, tensor({ count: int(largest), shape: shape.map(int), strides })];
      }),
    ),
  );
  const args = { patch_size: int(2), image_size: int(64), block_size: int(4), ar_len: int(4) };

  async function written(value: string): Promise<string> {
    const path = join(temporaryFolder(), 'model.pt');
    writeFileSync(path, await checkpoint(pickle(value), { 0: new Uint8Array(4 * largest) }));
    return path;
  }

  async function configOf(more: Readonly<Record<string, string>>): Promise<unknown> {
    const { config, archive } = await openModel(
      await written(dict({ model, args: namespace({ ...args, ...more }) })),
    );
    await archive.close();
    return config;
  }

  it('has its sizes read off its tensors, and the layout off its arguments', async () => {
    const { classNames: _, ...rest } = config;
    const expected = { ...rest, space: 'latents' };
    expect(await configOf({})).toEqual(expected);
    expect(await configOf({ nd_split: 'N', square_block: '\x88', num_frames: int(1) })).toEqual(expected);
    const rows = { ...expected, squareBlocks: false };
    expect(await configOf({ square_block: '\x89' })).toEqual(rows);
    for (const split of [text('1_3'), tuple(int(1), int(3)), `](${int(1)}${int(3)}e`]) {
      expect(await configOf({ nd_split: split })).toEqual({ ...expected, positionSplit: [1, 3] });
    }
    const video = { image_size: int(32), num_frames: int(4), nd_split: text('2_1_1') };
    expect(await configOf(video)).toEqual({
      ...rows,
      frames: 4,
      height: 4,
      width: 4,
      positionSplit: [2, 1, 1],
    });
  });

  it.each<[string, Readonly<Record<string, string>>, RegExp]>([
    [
      'no patch size',
      { patch_size: 'N' },
      /does not state patch_size, which cannot be read from its tensors/,
    ],
    ['a patch size in words', { patch_size: text('two') }, /args.patch_size .* got two/],
    ['a negative length', { ar_len: int(-4) }, /args.ar_len .* got -4/],
    ['a size that is not a multiple', { image_size: int(60) }, /height/],
    ['another number of tokens', { ar_len: int(8) }, /blocks x blockSize must be the 16 tokens/],
    ['a strange split', { nd_split: text('2_x') }, /args.nd_split should be like 1_1 or 2_3_3, got 2_x/],
    ['an empty split', { nd_split: text('') }, /args.nd_split/],
    ['a split that does not fit', { nd_split: text('1_2') }, /positionSplit/],
  ])('is refused with %s', async (_, more, message) => {
    const path = await written(dict({ model, args: namespace({ ...args, ...more }) }));
    await expectRefusal(path, AcditError, message);
  });

  /** The parameters, over a storage of their own, with something before their names. */
  function stateDict(key: string, prefix: string): string {
    const entries = [...parameters(config)].map(([name, shape]): [string, string] => {
      const strides = shape.map((_, axis) => int(elementCount(shape.slice(axis + 1))));
      return [prefix + name, tensor({ key, count: int(largest), shape: shape.map(int), strides })];
    });
    return dict(Object.fromEntries(entries));
  }

  it.each(['module.', '_orig_mod.', 'module._orig_mod.'])('may have %s before its names', async (prefix) => {
    const path = await written(dict({ model: stateDict('0', prefix), args: namespace(args) }));
    expect([...(await loadModel(path)).weights.keys()]).toEqual([...parameters(config).keys()]);
  });

  it('of a training has weights and their moving average, of which one is read', async () => {
    const filled = (value: number): Uint8Array => tensorBytes(float32([largest], Array(largest).fill(value)));
    const value = dict({ model: stateDict('0', ''), ema: stateDict('1', ''), args: namespace(args) });
    const path = join(temporaryFolder(), 'model.pt');
    writeFileSync(path, await checkpoint(pickle(value), { 0: filled(1), 1: filled(2) }));
    const first = async (choice?: 'model' | 'ema'): Promise<number> =>
      (await loadModel(path, { weights: choice })).weights.get('x_embedder.weight')!.data[0];
    expect([await first(), await first('model'), await first('ema')]).toEqual([1, 1, 2]);
    const counting = countingSource(bytesSource(readFileSync(path)));
    const { archive } = openOfficial(await openTorchCheckpoint(counting.source), path, { weights: 'ema' });
    const opened = counting.bytesRead;
    const bias = await archive.read('final_layer.linear.bias');
    expect(counting.bytesRead - opened).toBeLessThan(bias.data.byteLength + 200);
  });

  it('without the moving average says what it holds', async () => {
    const path = await written(dict({ model, args: namespace(args), lrs: '}' }));
    await expect(openModel(path, { weights: 'ema' })).rejects.toThrow(
      /holds no 'ema' weights, but 'model'; it is a dict with model, args, lrs/,
    );
  });

  it.each<[string, string, RegExp]>([
    ['a list', ']', /expected a dict with 'model' and 'args'/],
    [
      'a bare state dict',
      model,
      /does not state patch_size, block_size, ar_len, which .*; give --patch-size N/,
    ],
    ['no arguments', dict({ model, args: 'N' }), /does not state patch_size/],
    ['a module', 'c__main__\nModel\n)\x81', /the class __main__.Model; save its state_dict\(\) instead/],
    [
      'another model',
      dict({ model: dict({ weight: tensor({ count: int(largest) }) }), args: namespace(args) }),
      /not an ACDiT: 'x_embedder.weight' is missing/,
    ],
  ])('is refused if it holds %s', async (_, value, message) => {
    await expectRefusal(await written(value), CheckpointError, message);
  });

  it('is refused if it is another kind of file', async () => {
    const path = join(temporaryFolder(), 'model.pt');
    writeFileSync(path, 'hello');
    await expectRefusal(path, FormatError, /model.pt/);
    await expectRefusal(golden('image-tiny.npz'), FormatError, /data.pkl/);
  });
});
