import { join } from 'node:path';
import { describe, expect, it, vi } from 'vitest';
import { countingSource } from '../../test/support/counting-source.ts';
import { writeSparseZip } from '../../test/support/sparse-zip.ts';
import { temporaryFolder } from '../../test/support/temporary-folder.ts';
import { FormatError } from '../errors.ts';
import { bytesSource } from '../io/byte-source.ts';
import { openFile } from '../io/file-source.ts';
import { float32, type Tensor, tensor } from '../tensor/tensor.ts';
import { encodeNpy, npyHeader } from './npy.ts';
import { type NpyStream, streamNpy } from './npy-stream.ts';
import { encodeNpz, openNpz } from './npz.ts';

const rows = float32(
  [7, 3, 2],
  Array.from({ length: 42 }, (_, i) => i),
);

async function piecesOf(array: NpyStream, size: number): Promise<Tensor[]> {
  const pieces: Tensor[] = [];
  for await (const piece of array.pieces(size)) pieces.push(piece);
  return pieces;
}

async function* chunks(bytes: Uint8Array, size: number): AsyncGenerator<Uint8Array, void> {
  for (let at = 0; at < bytes.length; at += size) yield bytes.subarray(at, at + size);
}

describe('an array read piece by piece', () => {
  it.each([
    [false, 1],
    [false, 3],
    [true, 3],
    [true, 7],
    [true, 100],
  ])('is the array (compressed: %s, %i rows a piece)', async (compress, size) => {
    const npz = await openNpz(bytesSource(await encodeNpz({ a: rows }, { compress })));
    const array = await npz.stream('a');
    expect([array.dtype, array.shape]).toEqual(['float32', [7, 3, 2]]);
    const pieces = await piecesOf(array, size);
    expect(pieces.map(({ shape }) => shape[0])).toEqual(
      Array.from({ length: Math.ceil(7 / size) }, (_, i) => Math.min(size, 7 - i * size)),
    );
    expect(pieces.flatMap(({ data }) => [...(data as Float32Array)])).toEqual([...rows.data]);
  });

  it('may come in chunks of any size', async () => {
    for (const size of [1, 5, 127, 1000]) {
      const pieces = await piecesOf(await streamNpy(chunks(encodeNpy(rows), size), 'a'), 2);
      expect(pieces.flatMap(({ data }) => [...(data as Float32Array)])).toEqual([...rows.data]);
    }
  });

  it('may be left early, and is read no further than that', async () => {
    const large = tensor('uint8', [20_000, 1000], new Uint8Array(20_000_000));
    const counting = countingSource(bytesSource(await encodeNpz({ large })));
    const npz = await openNpz(counting.source);
    const array = await npz.stream('large');
    for await (const { shape } of array.pieces(10)) {
      expect(shape).toEqual([10, 1000]);
      break;
    }
    await array.close();
    expect(counting.bytesRead).toBeLessThan(4_000_000);
    await npz.close();
  });

  it('may be larger than memory', async () => {
    const path = join(temporaryFolder(), 'large.npz');
    const [count, size] = [50_000, 256];
    const pixels = count * size * size * 3;
    // A member of zeros, whose header is that of numpy.
    await writeSparseZip(path, [['arr_0.npy', [npyHeader('uint8', [count, size, size, 3]), pixels]]]);
    const npz = await openNpz(await openFile(path));
    const array = await npz.stream('arr_0');
    expect(array.shape).toEqual([count, size, size, 3]);
    let seen = 0;
    for await (const { shape, data } of array.pieces(8)) {
      expect([shape[0], data.length]).toEqual([8, 8 * size * size * 3]);
      if (++seen === 20) break;
    }
    await array.close();
    await npz.close();
  });

  it('says what is wrong', async () => {
    const bytes = encodeNpy(rows);
    const open = (content: Uint8Array) => streamNpy(chunks(content, 50), 'x/a');
    await expect(open(new Uint8Array(30))).rejects.toThrow('x/a: is not a .npy file');
    await expect(open(encodeNpy(float32([], [1])))).rejects.toThrow('expected an array of rows');
    const fortran = Buffer.from(bytes);
    fortran.write('True ', fortran.indexOf('False'));
    await expect(open(fortran)).rejects.toThrow('is in Fortran order');
    await expect(piecesOf(await open(bytes.subarray(0, -1)), 2)).rejects.toThrow('ends before row 7 of 7');
    const longer = Buffer.concat([bytes, Buffer.alloc(1)]);
    await expect(piecesOf(await open(longer), 2)).rejects.toThrow('more data than its shape takes');
  });

  it('has rows of up to 512 MB', async () => {
    const largest = 512 * 2 ** 20;
    const array = await streamNpy(chunks(npyHeader('uint8', [1, largest]), 50), 'a');
    expect(array.shape).toEqual([1, largest]);
    const larger = streamNpy(chunks(npyHeader('uint8', [1, largest + 1]), 50), 'a');
    await expect(larger).rejects.toThrow('a: a row of 536870913 bytes is larger than 536870912');
  });

  it('may be in Fortran order if it has one axis', async () => {
    const bytes = Buffer.from(encodeNpy(float32([3], [1, 2, 3])));
    bytes.write('True ', bytes.indexOf('False'));
    const pieces = await piecesOf(await streamNpy(chunks(bytes, 50), 'a'), 2);
    expect(pieces).toEqual([float32([2], [1, 2]), float32([1], [3])]);
  });

  it('closes its source when it is closed, or cannot be read', async () => {
    const closed = vi.fn();
    async function* source(bytes: Uint8Array): AsyncGenerator<Uint8Array, void> {
      try {
        yield* chunks(bytes, 50);
      } finally {
        closed();
      }
    }
    await (await streamNpy(source(encodeNpy(rows)), 'a')).close();
    expect(closed).toHaveBeenCalledTimes(1);
    await expect(streamNpy(source(encodeNpy(float32([], [1]))), 'a')).rejects.toThrow(FormatError);
    expect(closed).toHaveBeenCalledTimes(2);
  });

  it.each([false, true])('notices a flipped bit (compressed: %s)', async (compress) => {
    const bytes = await encodeNpz({ a: float32([1000], new Float32Array(1000)) }, { compress });
    bytes[compress ? 100 : 500] ^= 4;
    const npz = await openNpz(bytesSource(bytes, 'x.npz'));
    const read = async () => piecesOf(await npz.stream('a'), 10);
    await expect(read()).rejects.toThrow(FormatError);
    await expect(read()).rejects.toThrow('x.npz/a');
  });
});
