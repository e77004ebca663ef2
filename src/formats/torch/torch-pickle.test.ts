import { describe, expect, it } from 'vitest';
import {
  checkpoint,
  dict,
  int,
  pickle,
  reduce,
  storage,
  tensor,
  text,
  tuple,
} from '../../../test/support/pickle-writer.ts';
import { FormatError } from '../../errors.ts';
import { bytesSource } from '../../io/byte-source.ts';
import { float32, tensorBytes } from '../../tensor/tensor.ts';
import { encodeZip } from '../zip.ts';
import { nestedTensors, openTorchCheckpoint, stateDict, type TorchValue } from './checkpoint.ts';

const numbers = float32([4], [1, 2, 3, 4]);
const bytes = tensorBytes(numbers).slice();

async function open(code: string): Promise<TorchValue> {
  const file = await checkpoint(pickle(code), { 0: bytes });
  return (await openTorchCheckpoint(bytesSource(file, 'm.pt'))).value;
}

/** A storage with another id. */
const stored = (...id: string[]): string => `${tuple(...id)}Q`;
const TYPE = 'ctorch\nFloatStorage\n';
/** A tensor as `_rebuild_tensor` is given it. */
const plain = (parts: { storage?: string; offset?: string; shape?: string; strides?: string } = {}): string =>
  tuple(
    parts.storage ?? storage(),
    parts.offset ?? int(0),
    parts.shape ?? tuple(int(4)),
    parts.strides ?? tuple(int(1)),
  );
const rebuilt = (parts: Parameters<typeof plain>[0]): string =>
  reduce('torch._utils', '_rebuild_tensor', plain(parts));

describe('names of PyTorch', () => {
  it('make tensors, sizes, devices, layouts and typed containers', async () => {
    const value = await open(
      tuple(
        reduce('torch._utils', '_rebuild_parameter', tuple(tensor(), '\x88', ')')),
        reduce('torch', 'Size', tuple(')')),
        reduce('torch', 'device', tuple(text('cpu'))),
        reduce('torch.serialization', '_get_layout', tuple(text('torch.strided'))),
        reduce('torch.jit._pickle', 'restore_type_tag', tuple('}', text('Dict[str, int]'))),
        reduce('torch.jit._pickle', 'build_intlist', tuple(`](${int(1)}e`)),
      ),
    );
    const [parameter, ...others] = value as TorchValue[];
    expect(await stateDict(new Map([['a', parameter]])).read('a')).toEqual(numbers);
    expect(others).toEqual([[], 'cpu', 'torch.strided', new Map(), [1]]);
  });

  it.each<[string, string, RegExp]>([
    [
      'a storage that is not a tuple',
      `${text('storage')}Q`,
      /refers to a storage in a way that is not known/,
    ],
    [
      'a storage of another kind',
      stored(text('module'), TYPE, text('0'), 'N', int(4)),
      /in a way that is not known/,
    ],
    [
      'a storage of a text as its type',
      stored(text('storage'), text('f'), text('0'), 'N', int(4)),
      /in a way that/,
    ],
    [
      'a storage of a class',
      stored(text('storage'), 'ctorch\nTensor\n', text('0'), 'N', int(4)),
      /in a way that/,
    ],
    [
      'a storage with a number as its key',
      stored(text('storage'), TYPE, int(0), 'N', int(4)),
      /in a way that/,
    ],
    ['a storage of -1 elements', stored(text('storage'), TYPE, text('0'), 'N', int(-1)), /in a way that/],
    [
      'a storage of a text of elements',
      stored(text('storage'), TYPE, text('0'), 'N', text('4')),
      /in a way that/,
    ],
    ['a tensor of no storage', rebuilt({ storage: 'N' }), /storage, offset, size or stride is not valid/],
    ['a tensor at no number', rebuilt({ offset: text('0') }), /offset, size or stride is not valid/],
    ['a tensor whose shape is a list', rebuilt({ shape: `](${int(4)}e` }), /size or stride is not valid/],
    ['a tensor whose shape is a text', rebuilt({ shape: text('4') }), /size or stride is not valid/],
    ['a tensor whose shape has a text', rebuilt({ shape: tuple(text('4')) }), /size or stride is not valid/],
    ['a tensor whose strides are none', rebuilt({ strides: 'N' }), /size or stride is not valid/],
    [
      'a tensor on an untyped storage',
      rebuilt({ storage: storage({ type: 'UntypedStorage', count: int(16) }) }),
      /on an untyped storage does not say its dtype/,
    ],
    [
      'a dtype that is a number',
      reduce('torch._utils', '_rebuild_tensor_v3', `${plain().slice(0, -1)}\x89N${int(1)}t`),
      /on an untyped storage does not say its dtype/,
    ],
    ['a conjugate', tensor({ metadata: dict({ conj: '\x88' }) }), /a tensor with its conj bit set/],
    [
      'a parameter of a list',
      reduce('torch._utils', '_rebuild_parameter', tuple(']')),
      /a parameter holds no tensor/,
    ],
    [
      'a tensor rebuilt by a class of a similar name',
      reduce(
        'torch._tensor',
        '_rebuild_from_type_v2',
        tuple('cxtorch._utils\n_rebuild_tensor\n', 'ctorch\nTensor\n', plain()),
      ),
      /rebuilds a tensor in a way that is not known/,
    ],
    [
      'a tensor rebuilt by a text',
      reduce('torch._tensor', '_rebuild_from_type_v2', tuple(text('f'), 'ctorch\nTensor\n', plain())),
      /in a way that is not known/,
    ],
    [
      'a tensor rebuilt as a text',
      reduce(
        'torch._tensor',
        '_rebuild_from_type_v2',
        tuple('ctorch._utils\n_rebuild_tensor\n', text('t'), plain()),
      ),
      /in a way that is not known/,
    ],
    [
      'a tensor rebuilt from no arguments',
      reduce(
        'torch._tensor',
        '_rebuild_from_type_v2',
        tuple('ctorch._utils\n_rebuild_tensor\n', 'ctorch\nTensor\n', 'N'),
      ),
      /in a way that is not known/,
    ],
    [
      'a size of a number',
      reduce('torch', 'Size', tuple(int(1))),
      /a torch.Size is not a list of dimensions/,
    ],
    ['a size below 0', reduce('torch', 'Size', tuple(tuple(int(-1)))), /a torch.Size is not a list/],
    ['a device of a number', reduce('torch', 'device', tuple(int(1))), /a torch.device has no name/],
    [
      'a layout of a number',
      reduce('torch.serialization', '_get_layout', tuple(int(1))),
      /a layout has no name/,
    ],
    [
      'a typed number',
      reduce('torch.jit._pickle', 'restore_type_tag', tuple(int(1))),
      /made from no list and no dict/,
    ],
    [
      'an attribute named by a number',
      reduce('builtins', 'getattr', tuple('ca\nB\n', int(1))),
      /that is not a class/,
    ],
    ['items of a class', 'ca\nB\n(Ne', /appends to something that is not a list/],
    ['keys of a class', 'ca\nB\nNNs', /sets items of something that is not a dict/],
    ['the state of a tensor', `${tensor()}}b`, /sets the state of an object without any/],
    ['the state of None', 'N}b', /sets the state of an object without any/],
    ['a call of None', 'N)R', /calls what cannot be called/],
  ])('refuse %s', async (_, code, message) => {
    await expect(open(code)).rejects.toThrow(FormatError);
    await expect(open(code)).rejects.toThrow(message);
  });
});

describe('objects of unknown classes', () => {
  const attributes = (...entries: [string, TorchValue][]) => ({
    kind: 'namespace',
    className: 'a.B',
    attributes: new Map(entries),
  });

  it.each<[string, string, [string, TorchValue][]]>([
    ['of a dict', dict({ a: 'N' }), [['a', null]]],
    [
      'of two dicts, with slots',
      tuple(dict({ a: 'N' }), dict({ b: int(1) })),
      [
        ['a', null],
        ['b', 1],
      ],
    ],
    ['of None and a dict, with slots', tuple('N', dict({ b: int(1) })), [['b', 1]]],
    ['of three dicts, which only the class knows', tuple('}', dict({ a: 'N' }), '}'), []],
    ['of a text', text('ab'), []],
    ['of a dict with numbers as keys', `}${int(1)}Ns`, []],
  ])('have the attributes of their state: %s', async (_, state, entries) => {
    expect(await open(`ca\nB\n)\x81${state}b`)).toEqual(attributes(...entries));
  });

  it('have items as attributes, and no key without a value', async () => {
    expect(await open(`ca\nB\n)R(${text('a')}N${text('b')}u`)).toEqual(attributes(['a', null]));
    expect(await open('ca\nB\n)R(NNe')).toEqual(attributes());
  });

  it('may be of a class within a class', async () => {
    const member = reduce('builtins', 'getattr', tuple('ca\nB\n', text('C')));
    expect(await open(`${member})R`)).toMatchObject({ kind: 'namespace', className: 'a.B.C' });
    expect(await open(`${reduce('builtins', 'getattr', tuple(member, text('D')))})R`)).toMatchObject({
      className: 'a.B.C.D',
    });
  });
});

describe('the tensors of a checkpoint', () => {
  it('are those of a dict under text keys; other entries are left out', async () => {
    const value = await open(`}(${text('a')}${tensor()}${int(1)}${tensor()}${text('n')}Nu`);
    const archive = stateDict(value);
    expect(archive.names).toEqual(['a']);
    expect([archive.has('a'), archive.has('n')]).toEqual([true, false]);
    await expect(archive.read('n')).rejects.toThrow("the state dict holds no tensor 'n'");
    expect(() => archive.info('n')).toThrow(FormatError);
  });

  it('are those of dicts in dicts and of modules, by their paths of up to 1000 characters', async () => {
    const inner = `ca\nB\n)R${dict({ w: tensor() })}b`;
    const value = await open(
      `}(${text('m')}${inner}${int(1)}${dict({ x: tensor() })}${text('list')}](${tensor()}eu`,
    );
    expect(nestedTensors(value).names).toEqual(['m.w', '1.x']);
    const [found] = value instanceof Map ? [...nestedTensors(value).names] : [];
    expect(await nestedTensors(value).read(found)).toEqual(numbers);
    expect(nestedTensors(new Map([['k'.repeat(1000), 1]])).names).toEqual([]);
    expect(() => nestedTensors(new Map([['k'.repeat(1001), 1]]))).toThrow('to a tensor is too long');
  });
});

describe('the folder of a checkpoint', () => {
  const opened = async (files: Record<string, Uint8Array>) =>
    openTorchCheckpoint(bytesSource(await encodeZip(Object.entries(files), false), 'm.pt'));
  const data = pickle('N');
  const order = (name: string) => ({ 'a/data.pkl': data, 'a/byteorder': new TextEncoder().encode(name) });

  it('is the only one with a data.pkl', async () => {
    expect((await opened({ 'a/data.pkl': data, 'a/b/data.pkl': data, 'a/data.pkl.bak': data })).value).toBe(
      null,
    );
    await expect(opened({ 'a/data.pkl': data, 'b/data.pkl': data })).rejects.toThrow(
      'one data.pkl but has 2',
    );
    await expect(opened({ 'a/b/data.pkl': data })).rejects.toThrow('one data.pkl but has 0');
    await expect(opened({ 'data.pkl': data })).rejects.toThrow('one data.pkl but has 0');
  });

  it('has a byte order that is little', async () => {
    expect((await opened(order('little'))).value).toBe(null);
    await expect(opened(order('big'))).rejects.toThrow('its byte order is big-endian');
    for (const name of ['', 'middle', 'l'.repeat(17)]) {
      await expect(opened(order(name))).rejects.toThrow('its byte order is not known');
    }
  });

  it('is distinguished from other files', async () => {
    const other = openTorchCheckpoint(bytesSource(Uint8Array.of(0x50, 0x4c, 3, 4), 'm.pt'));
    await expect(other).rejects.toThrow('m.pt: is not a PyTorch checkpoint: it is neither a zip archive');
  });
});
