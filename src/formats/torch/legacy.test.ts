import { describe, expect, it } from 'vitest';
import {
  dict,
  int,
  long,
  pickle,
  reduce,
  tensor as tensorOp,
  text,
  tuple,
} from '../../../test/support/pickle-writer.ts';
import { at } from '../../../test/support/torch-value.ts';
import { FormatError } from '../../errors.ts';
import { bytesSource } from '../../io/byte-source.ts';
import { openTorchCheckpoint, stateDict, type TorchValue } from './checkpoint.ts';
import { isLegacyCheckpoint } from './legacy.ts';

/** What torch.serialization._legacy_save writes before anything else. */
const MAGIC = Uint8Array.of(
  0x80,
  2,
  0x8a,
  0x0a,
  0x6c,
  0xfc,
  0x9c,
  0x46,
  0xf9,
  0x20,
  0x6a,
  0xa8,
  0x50,
  0x19,
  0x2e,
);

/** A list of texts. */
const texts = (...items: string[]): string => `](${items.map(text).join('')}e`;
/** A storage: its element count, and its bytes. */
const stored = (...values: number[]): Uint8Array =>
  Buffer.concat([
    new Uint8Array(BigUint64Array.of(BigInt(values.length)).buffer),
    new Uint8Array(Float32Array.from(values).buffer),
  ]);

/** A checkpoint of one tensor of the numbers 1 to 4, unless something else is given. */
function legacy({
  version = int(1001),
  machine = dict({ protocol_version: int(1001), little_endian: '\x88' }),
  value = tensorOp(),
  keys = texts('0'),
  storages = [stored(1, 2, 3, 4)],
} = {}): Uint8Array {
  const pickles = [version, machine, value, keys].map((code) => pickle(code));
  return new Uint8Array(Buffer.concat([MAGIC, ...pickles, ...storages]));
}

async function open(bytes: Uint8Array): Promise<TorchValue> {
  return (await openTorchCheckpoint(bytesSource(bytes, 'm.pt'))).value;
}

/** The tensors of a tuple, as lists of numbers. */
async function numbers(value: TorchValue, count: number): Promise<number[][]> {
  const all = Array.from({ length: count }, (_, i) => [String(i), at(value, i)!] as const);
  const archive = stateDict(new Map(all));
  const read = await Promise.all(archive.names.map((name) => archive.read(name)));
  return read.map(({ data }) => [...(data as Float32Array)]);
}

/** A tensor of two elements on a part of a storage of four: (key of the part, offset, element count). */
function onPart(part: string): string {
  const id = tuple(text('storage'), 'ctorch\nFloatStorage\n', text('0'), text('cpu'), int(4), part);
  return reduce('torch._utils', '_rebuild_tensor', tuple(`${id}Q`, int(0), tuple(int(2)), tuple(int(1))));
}

describe('the old format', () => {
  it('begins with a pickled magic number', () => {
    expect(isLegacyCheckpoint(MAGIC)).toBe(true);
    expect(isLegacyCheckpoint(MAGIC.subarray(0, -1))).toBe(false);
    for (let i = 2; i < MAGIC.length; i++) {
      expect(isLegacyCheckpoint(MAGIC.map((byte, at) => (at === i ? byte ^ 1 : byte)))).toBe(false);
    }
    expect(isLegacyCheckpoint(Uint8Array.of(0x81, ...MAGIC.subarray(1)))).toBe(false);
    expect(isLegacyCheckpoint(new Uint8Array())).toBe(false);
  });

  it('has its storages in the order of their keys, not of its tensors', async () => {
    const small = tensorOp({ key: 'b', count: int(2), shape: [int(2)] });
    const bytes = legacy({
      value: tuple(tensorOp({ key: 'a' }), small, small),
      keys: texts('b', 'a'),
      storages: [stored(8, 9), stored(1, 2, 3, 4)],
    });
    expect(await numbers(await open(bytes), 3)).toEqual([
      [1, 2, 3, 4],
      [8, 9],
      [8, 9],
    ]);
  });

  it('may have empty storages, and tensors of no storage', async () => {
    const empty = tensorOp({ key: 'e', count: int(0), shape: [int(0)] });
    const bytes = legacy({
      value: tuple(empty, tensorOp()),
      keys: texts('e', '0'),
      storages: [stored(), stored(1, 2, 3, 4)],
    });
    expect(await numbers(await open(bytes), 2)).toEqual([[], [1, 2, 3, 4]]);
    expect(await open(legacy({ value: int(5), keys: ']', storages: [] }))).toBe(5);
  });

  it('may have storages that are parts of others', async () => {
    const parts = [tuple(text('p'), int(1), int(2)), tuple(text('p'), int(2), int(2)), 'N'];
    const bytes = legacy({ value: tuple(...parts.map(onPart)) });
    expect(await numbers(await open(bytes), 3)).toEqual([
      [2, 3],
      [3, 4],
      [1, 2],
    ]);
  });

  it('may have pickles larger than what is read at first', async () => {
    const long20 = `X${String.fromCharCode(0, 0, 0x10, 0)}${'x'.repeat(2 ** 20)}`;
    const value = await open(legacy({ value: tuple(tensorOp(), long20, long20) }));
    expect(await numbers(value, 1)).toEqual([[1, 2, 3, 4]]);
    expect(at(value, 2)).toHaveLength(2 ** 20);
  });

  it.each<[string, Uint8Array, RegExp]>([
    ['is of another version', legacy({ version: int(1002) }), /is in version 1002 of PyTorch's old format/],
    ['is big-endian', legacy({ machine: dict({ little_endian: '\x89' }) }), /is not little-endian/],
    ['does not say its byte order', legacy({ machine: '}' }), /is not little-endian/],
    ['has no facts of the machine', legacy({ machine: 'N' }), /is not little-endian/],
    [
      'names things in its header',
      legacy({ machine: 'cargparse\nNamespace\n' }),
      /header names things to call/,
    ],
    ['has no list of storages', legacy({ keys: text('0') }), /list of storages is damaged/],
    [
      'has a storage without a name',
      legacy({ keys: `](${text('0')}${int(1)}e` }),
      /list of storages is damaged/,
    ],
    [
      'has too many storages',
      legacy({ keys: `](${text('0').repeat(20_001)}e` }),
      /holds 20001 storages, more than 20000/,
    ],
    ['lists a storage of no tensor', legacy({ keys: texts('0', '1') }), /a storage 1 that no tensor uses/],
    ['lists a storage twice', legacy({ keys: texts('0', '0') }), /a storage 0 that it lists twice/],
    ['lacks a storage', legacy({ keys: ']' }), /storage 0 is missing/],
    ['is cut off in a storage', legacy().subarray(0, -1), /truncated or damaged/],
    ['is cut off in its pickles', legacy().subarray(0, 40), /truncated|never ends/],
    [
      'has a storage of another size',
      legacy({ storages: [stored(1, 2, 3, 4, 5)] }),
      /should have 16 bytes but has 5/,
    ],
    [
      'has a storage of elements too large',
      legacy({ storages: [Buffer.concat([stored(0).subarray(0, 8), new Uint8Array(16)])] }),
      /should have 16 bytes but has 1 elements/,
    ],
    [
      'has no elements in a storage',
      legacy({ storages: [Buffer.concat([stored(), new Uint8Array(16)])] }),
      /should have 16 bytes but has 0 elements/,
    ],
    [
      'has a part beyond its storage',
      legacy({ value: onPart(tuple(text('p'), int(3), int(2))) }),
      /part of a storage reaches/,
    ],
    [
      'has a part of no length',
      legacy({ value: onPart(tuple(text('p'), int(0), 'N')) }),
      /part of a storage reaches/,
    ],
    [
      'has a part before its storage',
      legacy({ value: onPart(tuple(text('p'), long(-1n), int(2))) }),
      /part of a storage/,
    ],
    ['has a part that is a text', legacy({ value: onPart(text('p01')) }), /part of a storage reaches/],
    [
      'has a part smaller than a tensor',
      legacy({ value: onPart(tuple(text('p'), int(3), int(1))) }),
      /storage of 1 elements/,
    ],
  ])('is refused if it %s', async (_, bytes, message) => {
    await expect(open(bytes)).rejects.toThrow(FormatError);
    await expect(open(bytes)).rejects.toThrow(message);
  });
});
