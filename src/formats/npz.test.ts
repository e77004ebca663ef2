import { readFile } from 'node:fs/promises';
import { describe, expect, it } from 'vitest';
import { countingSource } from '../../test/support/counting-source.ts';
import { npyText } from '../../test/support/npy-text.ts';
import { FormatError } from '../errors.ts';
import { bytesSource } from '../io/byte-source.ts';
import { float32, tensor } from '../tensor/tensor.ts';
import { encodeNpy } from './npy.ts';
import { encodeNpz, openNpz } from './npz.ts';
import { encodeZip } from './zip.ts';

const golden = (name: string) => readFile(new URL(`../../test/fixtures/golden/${name}`, import.meta.url));

describe('npz', () => {
  it.each([
    [
      'an .npy file',
      encodeNpy(float32([2], [1, 2])),
      /^x: is a single array \(\.npy\), not an \.npz; save it with/,
    ],
    [
      'an image',
      Buffer.from('\x89PNG\r\n\x1a\n', 'latin1'),
      /^x: is an image; give the folder that it is in$/,
    ],
    ['nothing', new Uint8Array(), /^x: is empty/],
  ])('says what it is if %s is given instead', async (_, bytes, message) => {
    await expect(openNpz(bytesSource(bytes, 'x'))).rejects.toThrow(message);
    await expect(openNpz(bytesSource(bytes, 'x'))).rejects.toThrow(FormatError);
  });

  it.each([false, true])('gives back what it wrote (compressed: %s)', async (compress) => {
    const arrays = {
      a: float32([2, 500], new Float32Array(1000)),
      'b/c': tensor('int64', [], BigInt64Array.of(-5n)),
    };
    const bytes = await encodeNpz(arrays, { compress });
    const npz = await openNpz(bytesSource(bytes));
    expect(npz.names).toEqual(['a', 'b/c']);
    expect(await npz.read('a')).toEqual(arrays.a);
    expect(await npz.read('b/c')).toEqual(arrays['b/c']);
    expect(await encodeNpz(arrays, { compress })).toEqual(bytes);
  });

  it('reads what numpy wrote', async () => {
    const npz = await openNpz(bytesSource(await golden('pickle-zoo-expected.npz')));
    expect(npz.names).toEqual(['f32', 'transposed', 'slice', 'view_a', 'view_b']);
    expect(await npz.read('slice')).toEqual(float32([2, 2], [4, 6, 8, 10]));
    expect(npz.has('slice')).toBe(true);
    expect(npz.has('slice.npy')).toBe(false);
  });

  it.each(['U', 'S'] as const)('reads texts (numpy kind %s)', async (kind) => {
    const files: [string, Uint8Array][] = [
      ['name.npy', npyText('inception\0\0', kind)],
      ['many.npy', npyText('ab', kind, '(2,)')],
      ['cut.npy', npyText('abc', kind).subarray(0, -1)],
      ['number.npy', encodeNpy(float32([], [1]))],
    ];
    const npz = await openNpz(bytesSource(await encodeZip(files, false)));
    expect(await npz.readText('name')).toBe('inception');
    for (const name of ['many', 'cut', 'number', 'missing'])
      await expect(npz.readText(name)).rejects.toThrow(FormatError);
    await expect(npz.read('name')).rejects.toThrow(FormatError);
  });

  it('reads a large one lazily', async () => {
    const counting = countingSource(bytesSource(await golden('image-tiny.npz')));
    const npz = await openNpz(counting.source);
    expect((await npz.read('sample.noise')).shape).toEqual([2, 4, 16, 4]);
    expect(counting.bytesRead).toBeLessThan(counting.source.size / 4);
  });

  it('has the arrays of an archive alone, and is closed with its source', async () => {
    const files: [string, Uint8Array][] = [
      ['a.npy', encodeNpy(float32([2], [1, 2]))],
      ['notes.txt', new Uint8Array(3)],
    ];
    const counting = countingSource(bytesSource(await encodeZip(files, false), 'x.npz'));
    const npz = await openNpz(counting.source);
    expect(npz.names).toEqual(['a']);
    const stream = await npz.stream('a');
    expect([stream.dtype, stream.shape]).toEqual(['float32', [2]]);
    await stream.close();
    await expect(npz.stream('b')).rejects.toThrow("x.npz: holds no array 'b'; it has a");
    await npz.close();
    expect(counting.closed).toBe(true);
  });

  it('is stored unless it is to be compressed', async () => {
    const arrays = { a: float32([1000], new Float32Array(1000)) };
    expect((await encodeNpz(arrays)).length).toBeGreaterThan(4000);
    expect((await encodeNpz(arrays, { compress: true })).length).toBeLessThan(1000);
  });

  it('says what is wrong', async () => {
    const npz = await openNpz(bytesSource(await encodeNpz({ a: float32([1], [1]) }), 'x.npz'));
    await expect(npz.read('b')).rejects.toThrow("x.npz: holds no array 'b'; it has a");
    const foreign = await encodeZip([['a.npy', new Uint8Array(20)]], false);
    await expect((await openNpz(bytesSource(foreign, 'y.npz'))).read('a')).rejects.toThrow(
      'y.npz/a: is not a .npy file',
    );
    await expect((await openNpz(bytesSource(foreign, 'y.npz'))).readText('a')).rejects.toThrow(
      /^y\.npz\/a: /,
    );
    const cut = openNpz(bytesSource(Buffer.from(`PK\x03\x04${' and no end'.repeat(9)}`), 'z.npz'));
    await expect(cut).rejects.toThrow('z.npz: is cut off');
    await expect(openNpz(bytesSource(new Uint8Array(100)))).rejects.toThrow(FormatError);
  });

  it('notices a flipped bit and a missing end', async () => {
    const bytes = await encodeNpz({ a: float32([100], new Float32Array(100)) });
    const flipped = bytes.slice();
    flipped[300] ^= 4;
    await expect((await openNpz(bytesSource(flipped))).read('a')).rejects.toThrow(FormatError);
    await expect(openNpz(bytesSource(bytes.subarray(0, -30)))).rejects.toThrow(FormatError);
  });

  it('closes the source when it cannot be opened', async () => {
    const counting = countingSource(bytesSource(new Uint8Array(9)));
    await expect(openNpz(counting.source)).rejects.toThrow(FormatError);
    expect(counting.closed).toBe(true);
  });
});
