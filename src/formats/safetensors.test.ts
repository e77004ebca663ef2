import { mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import fc from 'fast-check';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { FormatError } from '../errors.ts';
import { bytesSource } from '../io/byte-source.ts';
import { openFile } from '../io/file-source.ts';
import {
  type DType,
  elementCount,
  float32,
  newArray,
  type Tensor,
  tensor,
  tensorBytes,
} from '../tensor/tensor.ts';
import { encodeSafetensors, fileOffsets, openSafetensors } from './safetensors.ts';
import { writeSafetensors } from './safetensors-writer.ts';

const dtypes: DType[] = [
  ...(['float64', 'float32', 'float16', 'bfloat16', 'int64', 'int32', 'int16', 'int8'] as const),
  ...(['uint64', 'uint32', 'uint16', 'uint8', 'bool'] as const),
];

function file(header: unknown, dataLength: number): Uint8Array {
  const json = new TextEncoder().encode(typeof header === 'string' ? header : JSON.stringify(header));
  const out = new Uint8Array(8 + json.length + dataLength);
  new DataView(out.buffer).setBigUint64(0, BigInt(json.length), true);
  out.set(json, 8);
  return out;
}

const entry = (dtype: string, shape: number[], begin: number, end: number) => ({
  dtype,
  shape,
  data_offsets: [begin, end],
});

describe('safetensors in memory', () => {
  it('gives back what it wrote, for every dtype and shape', async () => {
    const tensors = fc.array(fc.tuple(fc.constantFrom(...dtypes), fc.array(fc.nat(4), { maxLength: 4 })), {
      maxLength: 6,
    });
    await fc.assert(
      fc.asyncProperty(tensors, fc.dictionary(fc.string(), fc.string()), async (infos, metadata) => {
        const named = infos.map(([dtype, shape], i): [string, Tensor] => {
          const value = { dtype, shape, data: newArray(dtype, elementCount(shape)) };
          tensorBytes(value).fill(dtype === 'bool' ? 1 : i + 1);
          return [`layer.${i}`, value];
        });
        const archive = await openSafetensors(bytesSource(encodeSafetensors(named, metadata)));
        expect(archive.metadata).toEqual({ ...metadata });
        expect([...archive.names].sort()).toEqual(named.map(([name]) => name));
        for (const [name, value] of named) {
          expect(archive.info(name)).toEqual({ dtype: value.dtype, shape: value.shape });
          expect(await archive.read(name)).toEqual(value);
        }
      }),
      { numRuns: 40 },
    );
  });

  it('keeps every tensor aligned', () => {
    const bytes = encodeSafetensors([
      ['odd', tensor('uint8', [3], Uint8Array.of(1, 2, 3))],
      ['wide', tensor('float64', [1], Float64Array.of(1))],
    ]);
    const length = Number(new DataView(bytes.buffer).getBigUint64(0, true));
    expect(length % 8).toBe(0);
    expect(JSON.parse(new TextDecoder().decode(bytes.subarray(8, 8 + length)))).toEqual({
      wide: entry('F64', [1], 0, 8),
      odd: entry('U8', [3], 8, 11),
    });
  });

  it.each([
    ['too short', new Uint8Array(5), /too short/],
    ['a header beyond the end', file({}, 0).fill(0xff, 0, 2), /not a whole safetensors file/],
    ['no JSON', file('{"a"', 0), /not valid JSON/],
    ['no object', file('[]', 0), /is not a JSON object/],
    ['broken UTF-8', file('{}', 0).fill(0xff, 8), /is not valid UTF-8/],
    ['metadata of numbers', file({ __metadata__: { a: 1 } }, 0), /must map names to strings/],
    ['an unknown dtype', file({ a: entry('F8_E4M3', [1], 0, 1) }, 1), /dtype F8_E4M3 is not supported/],
    ['wrong byte counts', file({ a: entry('F32', [2], 0, 4) }, 4), /takes 8 bytes but is given 4/],
    ['data beyond the end', file({ a: entry('F32', [2], 0, 8) }, 4), /take 8 bytes but 4 follow/],
    ['bytes of no tensor', file({ a: entry('U8', [1], 0, 1) }, 2), /take 1 bytes but 2 follow/],
    ['overlaps', file({ a: entry('U8', [4], 0, 4), b: entry('U8', [4], 2, 6) }, 6), /overlap or leave gaps/],
    ['gaps', file({ a: entry('U8', [1], 0, 1), b: entry('U8', [1], 2, 3) }, 3), /overlap or leave gaps/],
    ['backward ranges', file({ a: entry('U8', [1], 1, 0) }, 1), /takes 1 bytes but is given -1/],
    ['negative dimensions', file({ a: entry('U8', [-1, -1], 0, 1) }, 1), /-1 is not a valid dimension/],
    [
      'a shape of objects',
      file({ a: { dtype: 'U8', shape: [{}, [1]], data_offsets: [0, 1] } }, 1),
      /an object is not a valid dim/,
    ],
    [
      'a dtype that is an object',
      file({ a: { dtype: {}, shape: [1], data_offsets: [0, 1] } }, 1),
      /needs dtype/,
    ],
    [
      'deep metadata',
      file(`{"__metadata__": ${'['.repeat(9999)}${']'.repeat(9999)}}`, 0),
      /more than 100 levels/,
    ],
    [
      'a tensor in place of its description',
      file({ a: 'x'.repeat(9999) }, 1),
      /^m.safetensors\/a: needs dtype.{0,60}$/,
    ],
    ['absurd shapes', file({ a: entry('U8', [2 ** 40, 2 ** 40], 0, 1) }, 1), /implausibly large/],
    [
      'metadata of texts and numbers',
      file({ __metadata__: { a: 'x', b: 1 } }, 0),
      /must map names to strings/,
    ],
    ['metadata that is null', file({ __metadata__: null }, 0), /must map names to strings/],
    ['an entry that is null', file({ a: null }, 0), /needs dtype, shape and data_offsets/],
    ...[[0], [0, 1, 2], [-1, 0], [0.5, 1.5], ['0', '1'], '01', null].map(
      (offsets): [string, Uint8Array, RegExp] => [
        `the range ${JSON.stringify(offsets)}`,
        file({ a: { dtype: 'U8', shape: [1], data_offsets: offsets } }, 1),
        /needs dtype, shape and data_offsets/,
      ],
    ),
    ['an entry that is not an object', file({ a: 3 }, 0), /needs dtype, shape and data_offsets/],
  ])('refuses %s', async (_, bytes, message) => {
    const opening = openSafetensors(bytesSource(bytes, 'm.safetensors'));
    await expect(opening).rejects.toThrow(FormatError);
    await expect(openSafetensors(bytesSource(bytes, 'm.safetensors'))).rejects.toThrow(message);
  });

  it('takes tensors in any order, and empty ones anywhere', async () => {
    const header = {
      last: entry('U8', [2], 1, 3),
      none: entry('U8', [0], 1, 1),
      first: entry('U8', [1], 0, 1),
    };
    const bytes = file(header, 3);
    bytes.set([7, 8, 9], bytes.length - 3);
    const archive = await openSafetensors(bytesSource(bytes));
    expect((await archive.read('first')).data).toEqual(Uint8Array.of(7));
    expect((await archive.read('last')).data).toEqual(Uint8Array.of(8, 9));
    expect((await archive.read('none')).data).toHaveLength(0);
  });

  it('reads rows', async () => {
    const rows = float32([3, 2], [1, 2, 3, 4, 5, 6]);
    const before = tensor('float64', [1], Float64Array.of(0));
    const empty = float32([0, 2], []);
    const scalar = float32([], [1]);
    const named = Object.entries({ before, rows, empty, scalar });
    const archive = await openSafetensors(bytesSource(encodeSafetensors(named), 'm.safetensors'));
    expect(await archive.readRows('rows', 1, 2)).toEqual(float32([2, 2], [3, 4, 5, 6]));
    expect(await archive.readRows('rows', 0, 3)).toEqual(rows);
    expect(await archive.readRows('rows', 3, 0)).toEqual(float32([0, 2], []));
    expect(await archive.readRows('empty', 0, 0)).toEqual(empty);
    for (const [first, count] of [
      [2, 2],
      [-1, 1],
      [1, -1],
    ] as const) {
      await expect(archive.readRows('rows', first, count)).rejects.toThrow('has shape [3,2], so no rows');
    }
    await expect(archive.readRows('scalar', 0, 1)).rejects.toThrow(FormatError);
    await expect(archive.readRows('x', 0, 1)).rejects.toThrow("holds no tensor 'x'");
  });

  it('knows where it puts each tensor', () => {
    const named = [
      ['a', float32([2], [1, 2])],
      ['b', float32([1], [3])],
    ] as const;
    const offsets = fileOffsets(named, { made: 'here' });
    const bytes = encodeSafetensors(named, { made: 'here' });
    expect(offsets.get('a')).toBe(bytes.length - 12);
    expect(offsets.get('b')).toBe(bytes.length - 4);
  });

  it('names a missing tensor', async () => {
    const archive = await openSafetensors(bytesSource(encodeSafetensors([]), 'm.safetensors'));
    await expect(archive.read('x')).rejects.toThrow("m.safetensors: holds no tensor 'x'");
    expect(archive.has('x')).toBe(false);
  });
});

describe('safetensors on disk', () => {
  let folder: string;
  let path: string;
  beforeEach(async () => {
    folder = await mkdtemp(join(tmpdir(), 'acdit-'));
    path = join(folder, 'm.safetensors');
  });
  afterEach(() => rm(folder, { recursive: true }));

  it('writes lazy tensors one at a time, as in memory', async () => {
    const value = float32([2, 2], [1, 2, 3, 4]);
    const lazy = { dtype: value.dtype, shape: value.shape, read: async () => value };
    await writeSafetensors(path, new Map([['a', lazy]]), { step: '3' });
    expect(new Uint8Array(await readFile(path))).toEqual(encodeSafetensors([['a', value]], { step: '3' }));
    const archive = await openSafetensors(await openFile(path));
    expect(await archive.read('a')).toEqual(value);
    await archive.close();
  });

  it('leaves the old file whole when a tensor fails or the writing is cancelled', async () => {
    await writeFile(path, 'old');
    const broken = { dtype: 'float32', shape: [1], read: () => Promise.reject(new Error('gone')) } as const;
    await expect(writeSafetensors(path, [['a', broken]])).rejects.toThrow('gone');
    const short = { dtype: 'float32', shape: [2], read: async () => float32([1], [1]) } as const;
    await expect(writeSafetensors(path, [['a', short]])).rejects.toThrow(/should have 8 bytes but has 4/);
    const cancelled = writeSafetensors(path, [['a', float32([1], [1])]], {}, AbortSignal.abort());
    await expect(cancelled).rejects.toThrow(/abort/);
    expect(await readFile(path, 'utf8')).toBe('old');
    expect(await readdir(folder)).toEqual(['m.safetensors']);
  });

  it('refuses two tensors of one name', async () => {
    const value = float32([1], [1]);
    await expect(
      writeSafetensors(path, [
        ['a', value],
        ['a', value],
      ]),
    ).rejects.toThrow(FormatError);
    expect(() => encodeSafetensors([['__metadata__', value]])).toThrow(FormatError);
  });
});
