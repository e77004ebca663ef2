import { describe, expect, it } from 'vitest';
import {
  checkpoint,
  int,
  pickle,
  reduce,
  tensor as tensorOp,
  text,
  tuple,
} from '../../../test/support/pickle-writer.ts';
import { at } from '../../../test/support/torch-value.ts';
import { FormatError } from '../../errors.ts';
import { bytesSource } from '../../io/byte-source.ts';
import { float32, tensorBytes } from '../../tensor/tensor.ts';
import { nestedTensors, openTorchCheckpoint, stateDict, type TorchValue } from './checkpoint.ts';

const storage = { 0: tensorBytes(float32([4], [1, 2, 3, 4])).slice() };

async function open(code: string): Promise<TorchValue> {
  const bytes = await checkpoint(pickle(code), storage);
  return (await openTorchCheckpoint(bytesSource(bytes, 'm.pt'))).value;
}

const object = (className: string, entries: [string, TorchValue][] = []) => ({
  kind: 'namespace',
  className,
  attributes: new Map(entries),
});
const dtype = (code: string) =>
  `${reduce('numpy', 'dtype', tuple(text(code), '\x89', '\x88'))}${tuple(int(3), text('<'), 'N')}b`;

// The opcodes are those that pickletools.dis shows for these objects in protocol 2.
describe('objects of classes that have no meaning here', () => {
  it.each<[string, string, object]>([
    ['a date', reduce('datetime', 'datetime', tuple('C\x02ab')), object('datetime.datetime')],
    ['a member of an enumeration', reduce('__main__', 'Color', 'K\x01\x85'), object('__main__.Color')],
    ['a range', reduce('builtins', 'range', tuple(int(0), int(3), int(1))), object('builtins.range')],
    [
      'a complex number',
      reduce('__builtin__', 'complex', tuple(int(1), int(2))),
      object('__builtin__.complex'),
    ],
    [
      'a member of an enumeration by its name',
      `${reduce('builtins', 'getattr', tuple('c__main__\nColor\n', text('RED')))}`,
      { kind: 'global', name: '__main__.Color.RED' },
    ],
    ['a class', 'c__main__\nModel\n', { kind: 'global', name: '__main__.Model' }],
    [
      'a class of strange name',
      'cconstructor\n__proto__\n',
      { kind: 'global', name: 'constructor.__proto__' },
    ],
    [
      'a dataclass, whose attributes are read',
      `c__main__\nConfig\n)\x81}${text('patch_size')}K\x02sb`,
      object('__main__.Config', [['patch_size', 2]]),
    ],
    [
      'an object with slots',
      `c__main__\nConfig\n)\x81N}${text('patch_size')}K\x02s\x86b`,
      object('__main__.Config', [['patch_size', 2]]),
    ],
    [
      'a dict of a class of its own, whose items are read',
      `${reduce('easydict', 'EasyDict', ')')}(${text('patch_size')}K\x02K\x01K\x03u}${text('a')}K\x04sb`,
      object('easydict.EasyDict', [
        ['patch_size', 2],
        ['a', 4],
      ]),
    ],
    ['a list of a class of its own', `cfoo\nList\n)\x81(K\x01K\x02e`, object('foo.List')],
    ['an object made with keywords', `cfoo\nBar\n)}${text('a')}K\x01s\x92`, object('foo.Bar')],
    ['an object whose state only its class knows', 'cfoo\nBar\n)\x81K\x01b', object('foo.Bar')],
    [
      'a date of NumPy',
      reduce('numpy.core.multiarray', 'scalar', tuple(dtype('M8'), 'C\x01a')),
      { kind: 'numpy-dtype', code: 'M8', order: '<' },
    ],
  ])('are known by their name: %s', async (_, code, expected) => {
    const value = await open(`}(${text('x')}${code}${text('w')}${tensorOp()}u`);
    expect(at(value, 'x')).toMatchObject(expected);
    expect(await stateDict(value).read('w')).toEqual(float32([4], [1, 2, 3, 4]));
  });

  it('may be storages and storage types', async () => {
    const id = `${tuple(text('storage'), 'ctorch\nFloatStorage\n', text('0'), text('cpu'), int(4))}Q`;
    expect(await open(tuple(id, 'ctorch\nFloatStorage\n'))).toMatchObject([
      { kind: 'storage' },
      { kind: 'global' },
    ]);
  });

  it('may be arrays that are not of numbers, which fail when they are read', async () => {
    const empty = reduce(
      'numpy.core.multiarray',
      '_reconstruct',
      tuple('cnumpy\nndarray\n', tuple(int(0)), 'C\x01b'),
    );
    const value = await open(
      `}${text('a')}${empty}${tuple(int(1), tuple(int(1)), dtype('O8'), '\x89', '](K\x01e')}bs`,
    );
    await expect(stateDict(value).read('a')).rejects.toThrow(
      "m.pt: holds a NumPy array of type 'O8', which cannot be read",
    );
  });

  it('are refused among weights if they are tensors of another kind', async () => {
    const value = await open(`}${text('w')}${reduce('torch._utils', '_rebuild_sparse_tensor', ')')}s`);
    expect(() => stateDict(value)).toThrow(
      'w is a tensor of torch._utils._rebuild_sparse_tensor, which cannot be read; save it as a dense tensor',
    );
  });
});

describe('sharing', () => {
  it('cannot make the paths of tensors longer than a file', async () => {
    const key = `X\xff\xff\x00\x00${'k'.repeat(65535)}q\x01`;
    const layers = Array.from({ length: 20 }, () => `q\x000}h\x01h\x00s`).join('');
    const value = await open(`${key}0}${text('w')}${tensorOp()}s${layers}`);
    expect(() => nestedTensors(value)).toThrow(FormatError);
  });

  it('does not matter where the keys of a dict are printed', async () => {
    const key = `)q\x000${`(${'h\x00'.repeat(3)}tq\x000`.repeat(12)}`;
    const value = await open(`${key}}h\x00Ns`);
    expect(() => stateDict(value)).toThrow('a state dict should hold tensors; its keys are a list');
  });
});
