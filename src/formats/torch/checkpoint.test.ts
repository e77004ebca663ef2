import { readFile } from 'node:fs/promises';
import { describe, expect, it } from 'vitest';
import { countingSource } from '../../../test/support/counting-source.ts';
import {
  checkpoint,
  int,
  long,
  pickle,
  reduce,
  storage as storageOp,
  tensor as tensorOp,
  text,
  tuple,
} from '../../../test/support/pickle-writer.ts';
import { at } from '../../../test/support/torch-value.ts';
import { FormatError } from '../../errors.ts';
import { bytesSource } from '../../io/byte-source.ts';
import { toFloat32 } from '../../tensor/convert.ts';
import { float32, type Tensor, tensor, tensorBytes } from '../../tensor/tensor.ts';
import { openNpz } from '../npz.ts';
import { openTorchCheckpoint, stateDict, type TorchValue } from './checkpoint.ts';

const golden = (name: string) => readFile(new URL(`../../../test/fixtures/golden/${name}`, import.meta.url));

async function open(bytes: Uint8Array): Promise<TorchValue> {
  return (await openTorchCheckpoint(bytesSource(bytes, 'm.pt'))).value;
}

const storage = tensorBytes(float32([4], [1, 2, 3, 4])).slice();

const zoo = ['pickle-zoo.pt', 'pickle-zoo-legacy.pt', ...[2, 3, 4, 5].map((n) => `pickle-zoo-proto${n}.pt`)];

describe.each(zoo)('%s', (name) => {
  it('has the tensors that PyTorch saved', async () => {
    const model = stateDict(at(await open(await golden(name)), 'model'));
    const expected = await openNpz(bytesSource(await golden('pickle-zoo-expected.npz')));
    for (const array of expected.names) expect(await model.read(array)).toEqual(await expected.read(array));
    const f32 = await model.read('f32');
    for (const other of ['f16', 'bf16', 'f64']) expect(toFloat32(await model.read(other))).toEqual(f32);
    expect(model.info('bf16')).toEqual({ dtype: 'bfloat16', shape: [3, 4] });
    expect((await model.read('i64')).data).toEqual(BigInt64Array.of(0n, 1n, 2n, 3n, 4n));
    expect(await model.read('u8')).toMatchObject({ dtype: 'uint8', shape: [5] });
    expect((await model.read('boolean')).dtype).toBe('bool');
    expect(await model.read('empty')).toEqual(float32([0, 4], []));
    expect((await model.read('scalar')).shape).toEqual([]);
    expect((await model.read('param')).shape).toEqual([2]);
  });

  it('has the rest of what PyTorch saved', async () => {
    const value = await open(await golden(name));
    expect(at(value, 'ema')).toEqual(new Map());
    expect(at(value, 'lrs', 'last_epoch')).toBe(3);
    expect(at(value, 'opt', 'param_groups', 0, 'betas')).toEqual([0.9, 0.95]);
    expect(at(value, 'opt', 'param_groups', 0, 'params')).toEqual([0, 1]);
    expect(at(value, 'opt', 'state', 0, 'step')).toMatchObject({ kind: 'tensor', shape: [] });
    expect(at(value, 'args')).toEqual({
      kind: 'namespace',
      className: 'argparse.Namespace',
      attributes: new Map<string, TorchValue>([
        ['model', 'ACDiT-B'],
        ['nd_split', '1_1'],
        ['lr', 1e-4],
        ['square_block', true],
        ['none', null],
        ['big', 12345678901234567890n],
        ['text', 'né中'],
      ]),
    });
  });
});

describe('a checkpoint of the official trainer', () => {
  it('opens by its directory and pickle alone', async () => {
    const counting = countingSource(bytesSource(await golden('image-tiny.pt')));
    const { value, close } = await openTorchCheckpoint(counting.source);
    expect(counting.bytesRead).toBeLessThan(counting.source.size / 10);
    expect(at(value, 'args', 'block_size')).toBe(16);
    const model = stateDict(at(value, 'model'), close);
    expect(model.names).toHaveLength(39);
    expect((await model.read('t_embedder.mlp.0.weight')).shape).toEqual([128, 256]);
    await model.close();
    expect(counting.closed).toBe(true);
  });
});

describe('tensors in hand-made checkpoints', () => {
  it('reads compressed storages', async () => {
    const value = await open(await checkpoint(pickle(tensorOp()), { 0: storage }, { compress: true }));
    expect(await stateDict(new Map([['a', value]])).read('a')).toEqual(float32([4], [1, 2, 3, 4]));
  });

  it('expands strides of 0 and ignores strides of axes of length 1', async () => {
    const expanded = tensorOp({ shape: [int(2), int(2)], strides: [int(0), int(3)] });
    const single = tensorOp({ shape: [int(1), int(2)], strides: [int(77), int(1)], offset: int(2) });
    const value = await open(await checkpoint(pickle(tuple(expanded, single)), { 0: storage }));
    const model = stateDict(
      new Map([
        ['a', at(value, 0)!],
        ['b', at(value, 1)!],
      ]),
    );
    expect(await model.read('a')).toEqual(float32([2, 2], [1, 4, 1, 4]));
    expect(await model.read('b')).toEqual(float32([1, 2], [3, 4]));
  });

  it('reads untyped storages with a dtype, as newer PyTorch writes uint16', async () => {
    const id = tuple(text('storage'), 'ctorch.storage\nUntypedStorage\n', text('0'), text('cpu'), int(16));
    const hooks = reduce('collections', 'OrderedDict', ')');
    const args = tuple(`${id}Q`, int(1), tuple(int(2)), tuple(int(1)), '\x89', hooks, 'ctorch\nuint16\n');
    const value = await open(
      await checkpoint(pickle(reduce('torch._utils', '_rebuild_tensor_v3', args)), { 0: storage }),
    );
    expect(await stateDict(new Map([['a', value]])).read('a')).toEqual(
      tensor('uint16', [2], Uint16Array.of(0x3f80, 0)),
    );
  });

  it('reads sizes, devices, dtypes and bytes', async () => {
    const values = tuple(
      reduce('torch', 'Size', tuple(tuple(int(2), int(3)))),
      reduce('torch', 'device', tuple(text('cuda'), int(1))),
      'ctorch\nbfloat16\n',
      reduce('_codecs', 'encode', tuple(text('ab'), text('latin1'))),
    );
    const value = await open(await checkpoint(pickle(values), {}, { byteorder: 'little' }));
    expect(value).toEqual([[2, 3], 'cuda:1', 'torch.bfloat16', Uint8Array.of(97, 98)]);
  });
});

describe('what other versions of PyTorch write', () => {
  const onUntyped = (dtype: string, ...more: string[]): string => {
    const id = tuple(text('storage'), 'ctorch.storage\nUntypedStorage\n', text('0'), text('cpu'), int(16));
    const hooks = reduce('collections', 'OrderedDict', ')');
    const args = [`${id}Q`, int(0), tuple(int(2)), tuple(int(1)), '\x89', hooks, `ctorch\n${dtype}\n`];
    return reduce('torch._utils', '_rebuild_tensor_v3', tuple(...args, ...more));
  };
  const readAt = async (code: string): Promise<Tensor> => {
    const value = await open(await checkpoint(pickle(code), { 0: storage }));
    return stateDict(new Map([['a', value]])).read('a');
  };

  it.each<[string, string]>([
    [
      'a parameter with attributes',
      reduce('torch._utils', '_rebuild_parameter_with_state', tuple(tensorOp(), '\x88', ')', '}')),
    ],
    [
      'a tensor with attributes',
      reduce(
        'torch._tensor',
        '_rebuild_from_type_v2',
        tuple(
          'ctorch._utils\n_rebuild_tensor\n',
          'ctorch\nTensor\n',
          tuple(storageOp(), int(0), tuple(int(4)), tuple(int(1))),
          '}',
        ),
      ),
    ],
    ['a tensor with metadata', tensorOp({ metadata: `}${text('conj')}\x89s` })],
  ])('reads %s', async (_, code) => {
    expect(await readAt(code)).toEqual(float32([4], [1, 2, 3, 4]));
  });

  it('reads untyped storages with metadata', async () => {
    expect(await readAt(onUntyped('float32', '}'))).toEqual(float32([2], [1, 2]));
  });

  it.each<[string, string, RegExp]>([
    ['float8', onUntyped('float8_e4m3fn'), /holds a tensor of torch.float8_e4m3fn, which is not supported/],
    ['complex', tensorOp({ type: 'ComplexFloatStorage', count: int(2), shape: [int(2)] }), /torch.complex64/],
    ['negated', tensorOp({ metadata: `}${text('neg')}\x88s` }), /its neg bit set/],
    ['of no dtype', onUntyped('Size'), /does not say its dtype/],
    [
      'of unknown makers',
      reduce(
        'torch._tensor',
        '_rebuild_from_type_v2',
        tuple('cargparse\nNamespace\n', 'ctorch\nTensor\n', ')', '}'),
      ),
      /in a way that is not known/,
    ],
  ])('refuses tensors that are %s', async (_, code, message) => {
    await expect(readAt(code)).rejects.toThrow(message);
  });

  it('reads the old format in protocol 4, which frames its magic number', async () => {
    const old = await golden('pickle-zoo-legacy.pt');
    const framed = Uint8Array.from([0x80, 4, 0x95, 13, 0, 0, 0, 0, 0, 0, 0, ...old.subarray(2)]);
    expect(at(await open(framed), 'lrs', 'last_epoch')).toBe(3);
  });

  it('reads members whose CRC was not computed', async () => {
    const bytes = await checkpoint(pickle(tensorOp()), { 0: storage });
    const view = new DataView(bytes.buffer, bytes.byteOffset);
    for (let i = 0; i + 4 < bytes.length; i++) {
      const signature = view.getUint32(i, true);
      if (signature === 0x04034b50) view.setUint32(i + 14, 0, true);
      if (signature === 0x02014b50) view.setUint32(i + 16, 0, true);
    }
    expect(await stateDict(new Map([['a', await open(bytes)]])).read('a')).toEqual(
      float32([4], [1, 2, 3, 4]),
    );
  });

  it('reads values of NumPy', async () => {
    const dtype = (code: string, order = '<'): string =>
      `${reduce('numpy', 'dtype', tuple(text(code), '\x89', '\x88'))}${tuple(int(3), text(order), 'N')}b`;
    const scalar = (code: string, ...bytes: number[]): string =>
      reduce(
        'numpy._core.multiarray',
        'scalar',
        tuple(dtype(code), `C${String.fromCharCode(bytes.length, ...bytes)}`),
      );
    const empty = reduce(
      'numpy.core.multiarray',
      '_reconstruct',
      tuple('cnumpy\nndarray\n', tuple(int(0)), 'C\x01b'),
    );
    const array = `${empty}${tuple(int(1), tuple(int(2)), dtype('i2', '>'), '\x89', 'C\x04\x00\x01\x00\x02')}b`;
    const buffer = reduce(
      'numpy._core.numeric',
      '_frombuffer',
      tuple('C\x02\x01\x00', dtype('b1', '|'), tuple(int(1), int(2)), text('C')),
    );
    const value = await open(
      await checkpoint(
        pickle(
          tuple(scalar('i8', 7, 0, 0, 0, 0, 0, 0, 0), scalar('f2', 0, 0x38), scalar('b1', 1), array, buffer),
        ),
      ),
    );
    expect([0, 1, 2].map((index) => at(value, index))).toEqual([7, 0.5, true]);
    const arrays = stateDict(new Map([3, 4].map((index) => [String(index), at(value, index)!])));
    expect(await arrays.read('3')).toEqual(tensor('int16', [2], Int16Array.of(1, 2)));
    expect(await arrays.read('4')).toEqual(tensor('bool', [1, 2], Uint8Array.of(1, 0)));
  });

  it.each<[string, string, RegExp]>([
    ['object arrays', tuple(int(1), tuple(int(1)), 'N', '\x89', ']'), /damaged or of objects/],
    [
      'arrays too short',
      tuple(int(1), tuple(int(9)), `${reduce('numpy', 'dtype', tuple(text('f8')))}`, '\x89', 'C\x01a'),
      /takes 72 bytes/,
    ],
  ])('refuses %s', async (_, state, message) => {
    const code = `${reduce('numpy.core.multiarray', '_reconstruct', ')')}${state}b`;
    await expect(open(await checkpoint(pickle(code)))).rejects.toThrow(message);
  });
});

/** A pickle of `repeats` times `part`, after `before`. */
const repeated = (before: string, part: string, repeats: number, after = ''): string =>
  `${before}${part.repeat(repeats)}${after}`;

describe('checkpoints that ask for more than they are', () => {
  const million = 1_000_000;
  const long20 = `X${String.fromCharCode(0, 0, 0x10, 0)}${'x'.repeat(2 ** 20)}q\x00`; // a megabyte of text
  it.each<[string, string]>([
    ['empty lists', repeated('(', ']', 1.1 * million, 't')],
    ['duplicates', repeated('N', '2', 9 * million)],
    ['memo entries', repeated('\x80\x04N', '\x94', 3 * million)],
    ['marks', repeated('', '(', 9 * million)],
    ['copies of a text', repeated(long20, `0c_codecs\nencode\nh\x00${text('latin1')}\x86R`, 100)],
    [
      'states of one dict',
      repeated(
        `}q\x00(${Array.from({ length: 2000 }, (_, i) => `${text(`k${i}`)}N`).join('')}u0cargparse\nNamespace\n)R`,
        'h\x00b',
        million,
      ),
    ],
    [
      'sizes of one tuple',
      repeated(`(${'K\x01'.repeat(5000)}tq\x00ctorch\nSize\nq\x010`, 'h\x01h\x00\x85R0', million),
    ],
    [
      'storages',
      repeated(
        `${tuple(text('storage'), 'ctorch\nFloatStorage\n', text('0'), text('cpu'), int(4))}q\x000(`,
        'h\x00Q',
        4 * million,
        't',
      ),
    ],
  ])('%s', async (_, code) => {
    const bytes = await checkpoint(pickle(code), { 0: storage });
    const before = process.memoryUsage().rss;
    const start = process.cpuUsage(); // a busy machine takes longer, but computes no more
    await expect(open(bytes)).rejects.toThrow(/describes far more than a checkpoint does/);
    expect(process.cpuUsage(start).user / 1e6).toBeLessThan(20);
    expect(process.memoryUsage().rss - before).toBeLessThan(1.5e9);
  });

  it('is bounded for huge integers', async () => {
    const code = `(${`\x8b\x00\x04\x00\x00${'\x7f'.repeat(1024)}`.repeat(2000)}t`;
    expect(await open(await checkpoint(pickle(code)))).toHaveLength(2000);
  });

  it('stops inflating where the size said to', async () => {
    const zeros = await checkpoint(
      pickle(`B${String.fromCharCode(0, 0, 0, 3)}${'\0'.repeat(3 * 2 ** 24)}`),
      {},
      { compress: true },
    );
    const view = new DataView(zeros.buffer, zeros.byteOffset);
    for (let i = 0; i + 4 < zeros.length; i++) {
      if (view.getUint32(i, true) === 0x04034b50) view.setUint32(i + 22, 100, true);
      if (view.getUint32(i, true) === 0x02014b50) view.setUint32(i + 24, 100, true);
    }
    const counting = countingSource(bytesSource(zeros, 'm.pt'));
    await expect(openTorchCheckpoint(counting.source)).rejects.toThrow(FormatError);
  });
});

describe('bad checkpoints', () => {
  it('refuses big-endian files', async () => {
    await expect(open(await checkpoint(pickle('N'), {}, { byteorder: 'big' }))).rejects.toThrow(
      /is big-endian/,
    );
  });

  it('refuses other files', async () => {
    await expect(open(new Uint8Array(50).fill(1))).rejects.toThrow(/neither a zip archive/);
    await expect(open((await golden('pickle-zoo.pt')).subarray(0, 3000))).rejects.toThrow(/m.pt: is cut off/);
    await expect(open(new Uint8Array(0))).rejects.toThrow(FormatError);
    await expect(open(await golden('pickle-zoo-expected.npz'))).rejects.toThrow(/should hold one data.pkl/);
  });

  it('finds no tensors in what is not a state dict', () => {
    expect(() => stateDict(null)).toThrow(/should be a dict of tensors/);
    expect(() => stateDict(new Map([['a', 1]]))).toThrow(/its keys are a/);
    expect(() => stateDict(undefined)).toThrow(FormatError);
  });

  it.each<[string, string, RegExp]>([
    [
      'os.system',
      reduce('os', 'system', tuple(text('true'))),
      /asks for os.system, which runs code: the file is malicious; nothing was run/,
    ],
    ['builtins.eval', reduce('builtins', 'eval', tuple(text('1'))), /builtins.eval/],
    ['a global by STACK_GLOBAL', `${text('posix')}${text('system')}\x93`, /posix.system/],
    ['terminal codes in a name', 'cos.\x1b[2J\nb\n', /asks for os\.\?\[2J.b, which/],
    [
      'a function through getattr',
      reduce('builtins', 'getattr', tuple('cos\nx\n', text('system'))),
      /asks for os.x/,
    ],
    [
      'getattr of a value',
      reduce('builtins', 'getattr', tuple(']', text('a'))),
      /something that is not a class/,
    ],
    [
      'getattr of a storage type',
      reduce('builtins', 'getattr', tuple('ctorch\nFloatStorage\n', text('a'))),
      /not a class/,
    ],
    ['a name without end', `c${'a'.repeat(1000)}\nb\n`, /in more than 1000 characters/],
    ['INST', '(ios\nsystem\n', /opcode 0x69/],
    ['extension codes', '\x82\x01', /opcode 0x82/],
    ['a call of no global', `${text('x')})R`, /calls what cannot be called/],
    ['a call of a storage type', 'ctorch\nFloatStorage\n)R', /calls what cannot be called/],
    ['a missing storage', tensorOp({ key: '7' }), /storage 7 is missing/],
    ['a storage of another size', tensorOp({ count: int(5) }), /should have 20 bytes but has 16/],
    ['an offset out of range', tensorOp({ offset: int(1) }), /reaches beyond its storage of 4/],
    ['a negative offset', tensorOp({ offset: int(-1) }), /is not valid/],
    ['a stride out of range', tensorOp({ shape: [int(2)], strides: [int(4)] }), /reaches beyond/],
    ['a negative stride', tensorOp({ strides: [int(-1)] }), /is not valid/],
    ['fewer strides than dimensions', tensorOp({ strides: [] }), /is not valid/],
    ['a huge offset', tensorOp({ offset: long(2n ** 53n - 1n) }), /reaches beyond/],
    ['a bigint offset', tensorOp({ offset: long(2n ** 62n) }), /is not valid/],
    [
      'an absurd shape',
      tensorOp({ shape: [long(2n ** 50n), int(99)], strides: [int(0), int(0)] }),
      /implausibly large/,
    ],
    [
      'an exploding view',
      tensorOp({ shape: [int(2 ** 25)], strides: [int(0)] }),
      /absurdly larger than its storage/,
    ],
    ['state for a list', `]}b`, /sets the state of an object without any/],
    ['a huge LONG', '\x8b\xff\xff\xff\x7f', /is absurd/],
    ['a string beyond the end', 'X\xff\xff\xff\x7fabc', /truncated/],
    ['an unhashable key', '}]Ns', /cannot be a dict key/],
    ['a key without a value', '}(Nu', /has no value/],
    ['appending to a tuple', ')Na', /not a list/],
    ['an empty stack', '0', /empty stack/],
    ['popping below a mark', 'N(a', /empty stack/],
    ['a mark never set', 'Nt', /never set/],
    ['a memo never set', 'h\x05', /never stored/],
    ['values left over', 'NN', /leaves values over/],
    ['invalid UTF-8', 'U\x01\xff', /UTF-8/],
    ['protocol 9', '\x80\x09N', /protocol 9/],
    ['a list that contains itself', ']q\x00h\x00a', /contains itself/],
    [
      'a Namespace that contains itself',
      `cargparse\nNamespace\n)\x81q\x00}${text('a')}h\x00sb`,
      /contains itself/,
    ],
    ['deep nesting', `${'('.repeat(100_000)}${'t'.repeat(100_000)}`, /nested more than 200/],
    ['depth hidden by sharing', `(${')q\x00'}${'h\x00\x85q\x00'.repeat(300)}t`, /nested more than 200/],
    [
      'a memo bomb',
      `]q\x000${`(${'h\x00'.repeat(8)}lq\x000`.repeat(30)}h\x00`,
      /shared values would add more than 1000000 once written out/,
    ],
  ])('refuses %s', async (_, code, message) => {
    const bytes = await checkpoint(pickle(code), { 0: storage });
    await expect(open(bytes)).rejects.toThrow(message);
    await expect(open(bytes)).rejects.toBeInstanceOf(FormatError);
  });

  it('refuses a truncated pickle', async () => {
    await expect(open(await checkpoint(pickle('N').slice(0, -1)))).rejects.toThrow(/truncated/);
  });
});
