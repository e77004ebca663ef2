import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import {
  checkpoint,
  dict,
  int,
  namespace,
  pickle,
  reduce,
  tensor,
  tuple,
} from '../../test/support/pickle-writer.ts';
import { temporaryFolder } from '../../test/support/temporary-folder.ts';
import { tinyConfig } from '../../test/support/tiny-config.ts';
import { CheckpointError } from '../errors.ts';
import type { AcditConfig } from '../models/acdit/config.ts';
import { parameters } from '../models/acdit/weights.ts';
import { elementCount, float32, tensorBytes } from '../tensor/tensor.ts';
import { loadModel, openModel } from './load.ts';
import type { OpenOptions } from './official.ts';

const config: AcditConfig = { ...tinyConfig({}), space: 'latents' };
const args = { patch_size: int(2), image_size: int(64), block_size: int(4), ar_len: int(4) };
const layout = { patch: 2, blockSize: 4, blocks: 4 };

/** All parameters lie over one storage, whose elements count up. */
const largest = Math.max(...[...parameters(config).values()].map(elementCount));
const storageOf = (factor: number): Uint8Array =>
  tensorBytes(
    float32(
      [largest],
      Array.from({ length: largest }, (_, i) => factor * i),
    ),
  );

function stateDict(rename: (name: string) => string = (name) => name, key = '0'): Record<string, string> {
  return Object.fromEntries(
    [...parameters(config)].map(([name, shape]) => {
      const strides = shape.map((_, axis) => int(elementCount(shape.slice(axis + 1))));
      return [rename(name), tensor({ key, count: int(largest), shape: shape.map(int), strides })];
    }),
  );
}

async function written(value: string): Promise<string> {
  const path = join(temporaryFolder(), 'model.pt');
  writeFileSync(path, await checkpoint(pickle(value), { 0: storageOf(1), 1: storageOf(2) }));
  return path;
}

/** What was read has all parameters, and the elements of their storage. */
async function expectModel(value: string, options: OpenOptions = {}, factor = 1): Promise<void> {
  const { config: found, weights } = await loadModel(await written(value), options);
  expect(found).toEqual(config);
  expect([...weights.keys()].sort()).toEqual([...parameters(config).keys()].sort());
  for (const { data } of weights.values())
    expect([data[1], data.at(-1)]).toEqual([factor, factor * (data.length - 1)]);
}

async function problem(value: string, options: OpenOptions = {}): Promise<string> {
  const error = await openModel(await written(value), options).catch((cause: unknown) => cause);
  expect(error).toBeInstanceOf(CheckpointError);
  return (error as Error).message.replace(/^.*model\.pt: /, '');
}

describe('names of tensors', () => {
  const inBlocks = (wrapper: string) => (name: string) => name.replace(/^(blocks\.\d+\.)/, `$1${wrapper}.`);
  it.each<[string, (name: string) => string]>([
    ['DistributedDataParallel', (name) => `module.${name}`],
    ['torch.compile', (name) => `_orig_mod.${name}`],
    ['both', (name) => `module._orig_mod.${name}`],
    ['both, the other way round', (name) => `_orig_mod.module.${name}`],
    ['torch.compile of each block', inBlocks('_orig_mod')],
    ['activation checkpointing', inBlocks('_checkpoint_wrapped_module')],
    [
      'FSDP',
      (name) => `_fsdp_wrapped_module.${inBlocks('_fsdp_wrapped_module._checkpoint_wrapped_module')(name)}`,
    ],
    ['a wrapped linear layer', (name) => name.replace('mlp.fc1.', 'mlp.fc1._orig_mod.')],
    ['Lightning', (name) => `model.${name}`],
    ['Lightning over torch.compile', (name) => `model._orig_mod.${name}`],
  ])('are found within the names that %s makes', async (_, rename) => {
    await expectModel(dict({ model: dict(stateDict(rename)), args: namespace(args) }));
  });

  it('may not be the same without their wrappers', async () => {
    const twice = { ...stateDict(), ...stateDict((name) => `module.${name}`) };
    expect(await problem(dict({ model: dict(twice), args: namespace(args) }))).toMatch(
      /^both t_embedder.mlp.0.weight and module.t_embedder.mlp.0.weight are t_embedder.mlp.0.weight$/,
    );
  });
});

describe('where weights and arguments are', () => {
  const model = dict(stateDict());
  it.each<[string, string, OpenOptions?, number?]>([
    ['a moving average alone', dict({ ema: dict(stateDict()), args: namespace(args) })],
    ['a moving average alone, asked for', dict({ ema: model, args: namespace(args) }), { weights: 'ema' }],
    [
      'both, by default the model',
      dict({ model, ema: dict(stateDict((n) => n, '1')), args: namespace(args) }),
    ],
    [
      'both',
      dict({ model, ema: dict(stateDict((n) => n, '1')), args: namespace(args) }),
      { weights: 'ema' },
      2,
    ],
    ['a state_dict', dict({ state_dict: model, args: namespace(args) })],
    [
      'what Lightning saves',
      dict({ state_dict: dict(stateDict((n) => `model.${n}`)), hyper_parameters: dict(args) }),
    ],
    ['arguments as a dict', dict({ model, args: dict(args) })],
    ['arguments as another object', dict({ model, args: namespace(args, 'trainer.config\nTrainConfig') })],
    [
      'arguments with objects of all kinds',
      dict({
        model,
        args: namespace({
          ...args,
          when: reduce('datetime', 'datetime', tuple('C\x02ab')),
          color: reduce('__main__', 'Color', 'K\x01\x85'),
          range: reduce('builtins', 'range', tuple(int(0), int(3), int(1))),
          complex: reduce('builtins', 'complex', tuple(int(1), int(2))),
          function: 'ctrainer\nwarmup\n',
        }),
      }),
    ],
    ['no arguments', dict({ model }), { layout }],
    ['arguments of None', dict({ model, args: 'N' }), { layout }],
    ['a bare state dict', model, { layout }],
    ['a bare state dict with wrappers', dict(stateDict((name) => `module.${name}`)), { layout }],
    ['a part of the arguments', dict({ model, args: dict({ patch_size: int(2) }) }), { layout }],
  ])('may be: %s', async (_, value, options, factor) => {
    await expectModel(value, options, factor);
  });

  it('is said where it is not so', async () => {
    const averages = dict({ ema: model, args: namespace(args) });
    expect(await problem(averages, { weights: 'model' })).toBe(
      "holds no 'model' weights, but 'ema'; it is a dict with ema, args",
    );
    expect(await problem(dict({ weights: 'N', [`k${'y'.repeat(200)}`]: 'N' }))).toMatch(
      /^expected a dict with 'model' and 'args' as the official trainer saves, or a state dict, got a dict with weights, ky+\.\.\.$/,
    );
  });

  it('is never the layout of the caller where the checkpoint states one', async () => {
    await expectModel(dict({ model, args: namespace(args) }), {
      layout: { patch: 1, blockSize: 16, blocks: 1, frames: 4 },
    });
  });
});

describe('the layout of a bare state dict', () => {
  const bare = dict(stateDict());
  it('is refused if it does not make a square', async () => {
    expect(await problem(bare, { layout: { patch: 2, blockSize: 3, blocks: 4 } })).toMatch(
      /must be the square .*; got 12$/,
    );
  });

  it('may be one of a video', async () => {
    const path = await written(bare);
    const model = await openModel(path, { layout: { patch: 2, blockSize: 4, blocks: 4, frames: 4 } }).catch(
      (error) => error,
    );
    // [2, 3, 3], the official split of videos, does not divide the head of 8 dimensions.
    expect(model.message).toMatch(/positionSplit \[2,3,3\]/);
  });

  it('says what is missing', async () => {
    expect(await problem(bare, { layout: { patch: 2 } })).toBe(
      'does not state block_size, ar_len, which cannot be read from its tensors; give --block-size N --ar-len N ' +
        '(in the library, the option `layout`)',
    );
  });
});
