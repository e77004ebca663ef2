import { readFile } from 'node:fs/promises';
import { describe, expect, it } from 'vitest';
import {
  checkpoint,
  pickle,
  reduce,
  tensor as tensorOp,
  text,
  tuple,
} from '../../../test/support/pickle-writer.ts';
import { FormatError } from '../../errors.ts';
import { bytesSource } from '../../io/byte-source.ts';
import { float32, tensorBytes } from '../../tensor/tensor.ts';
import { nestedTensors, openTorchCheckpoint } from './checkpoint.ts';

const values = (count: number, from: number): number[] =>
  Array.from({ length: count }, (_, i) => i / 8 + from);
const open = (bytes: Uint8Array) => openTorchCheckpoint(bytesSource(bytes, 'm.pt'));

/** A module of a class. */
const module = (name: string, ...attributes: string[]): string =>
  `c__torch__.${name}\n)\x81}(${attributes.join('')}ub`;
const storage = { 0: tensorBytes(float32([4], [1, 2, 3, 4])).slice() };

describe('a TorchScript archive', () => {
  it.each(['scripted', 'traced'])('has the tensors of its modules: %s', async (kind) => {
    const path = new URL(`../../../test/fixtures/torchscript/${kind}.pt`, import.meta.url);
    const { value } = await open(await readFile(path));
    const tensors = nestedTensors(value);
    const names = [
      'conv3d.weight',
      ...['weight', 'bias', 'running_mean', 'running_var'].map((n) => `batch3d.${n}`),
    ];
    expect(tensors.names.filter((name) => !name.endsWith('num_batches_tracked')).sort()).toEqual(
      names.map((name) => `0.${name}`).sort(),
    );
    expect(await tensors.read('0.conv3d.weight')).toEqual(float32([4, 3, 1, 1, 1], values(12, 0)));
    for (const [i, name] of names.slice(1).entries()) {
      expect(await tensors.read(`0.${name}`)).toEqual(float32([4], values(4, i + 1)));
    }
  });

  it('is data: modules in dicts in modules, lists of one type, tensors by their paths in order', async () => {
    const list = (kind: string) => reduce('torch.jit._pickle', `build_${kind}list`, `](K\x01K\x02e\x85`);
    const bytes = await checkpoint(
      pickle(
        module(
          'a.b.___torch_mangle_0.Net'.replace(/\.(?=Net)/, '\n'),
          text('sizes') + list('int'),
          text('later') + module('c\nLayer', text('weight') + tensorOp()),
          text('tagged') +
            reduce('torch.jit._pickle', 'restore_type_tag', tuple(`}${text('w')}${tensorOp()}s`, text('x'))),
        ),
      ),
      storage,
    );
    const tensors = nestedTensors((await open(bytes)).value);
    expect(tensors.names).toEqual(['later.weight', 'tagged.w']);
  });

  it.each([
    ['a typed list of no list', reduce('torch.jit._pickle', 'build_intlist', 'N\x85'), /made from no list/],
    ['a module that contains itself', `c__torch__.a\nNet\n)\x81q\x00}${text('a')}h\x00sb`, /contains itself/],
  ])('refuses %s', async (_, code, message) => {
    const bytes = await checkpoint(pickle(code), storage);
    await expect(open(bytes)).rejects.toThrow(message);
    await expect(open(bytes)).rejects.toBeInstanceOf(FormatError);
  });
});
