import { mkdirSync, readFileSync, renameSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { gzipSync } from 'node:zlib';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { idxBytes, writeIdxDataset } from '../../test/support/idx-files.ts';
import { temporaryFolder } from '../../test/support/temporary-folder.ts';
import { DatasetError, FormatError } from '../errors.ts';
import { parseIdx, unpackGzip } from './idx.ts';
import { loadIdxDataset } from './idx-dataset.ts';

describe('parseIdx', () => {
  it('reads shape and elements', () => {
    const parsed = parseIdx(idxBytes([2, 1, 3], Uint8Array.of(1, 2, 3, 4, 5, 6)), 'x');
    expect(parsed).toEqual({ dtype: 'uint8', shape: [2, 1, 3], data: Uint8Array.of(1, 2, 3, 4, 5, 6) });
  });

  it.each([
    ['an empty file', []],
    ['text', [...Buffer.from('<html>')]],
    ['floats', [0, 0, 0x0d, 1, 0, 0, 0, 0]],
    ['no dimension', [0, 0, 8, 0]],
    ['a short header', [0, 0, 8, 2, 0, 0, 0, 1]],
    ['missing elements', [0, 0, 8, 1, 0, 0, 0, 3, 1, 2]],
    ['extra elements', [0, 0, 8, 1, 0, 0, 0, 1, 1, 2]],
    ['huge dimensions', [0, 0, 8, 3, ...new Array(12).fill(255), 1]],
  ])('refuses %s', (_, bytes) => {
    expect(() => parseIdx(Uint8Array.from(bytes), 'a/file')).toThrow(FormatError);
    expect(() => parseIdx(Uint8Array.from(bytes), 'a/file')).toThrow(/^a\/file: /);
  });

  it('never fails in another way', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 40 }), (bytes) => {
        bytes.set([0, 0, 8].slice(0, bytes.length));
        try {
          const { shape, data } = parseIdx(bytes, 'x');
          expect(shape.reduce((a, b) => a * b, 1)).toBe(data.length);
        } catch (error) {
          expect(error).toBeInstanceOf(FormatError);
        }
      }),
    );
  });
});

describe('unpackGzip', () => {
  it('unpacks what is packed and only that', async () => {
    const bytes = Uint8Array.of(1, 2, 3);
    expect([...(await unpackGzip(gzipSync(bytes), 'x'))]).toEqual([1, 2, 3]);
    expect(await unpackGzip(bytes, 'x')).toBe(bytes);
  });

  it('refuses a truncated file', async () => {
    const packed = gzipSync(
      idxBytes(
        [1000],
        Uint8Array.from({ length: 1000 }, (_, i) => i * i),
      ),
    );
    await expect(unpackGzip(packed.subarray(0, packed.length - 9), 'x.gz')).rejects.toThrow(FormatError);
    await expect(unpackGzip(packed.subarray(0, 12), 'x.gz')).rejects.toThrow(/^x.gz: damaged gzip data/);
  });

  it('unpacks nothing if the header states more than the limit, and never more than the header states', async () => {
    const header = idxBytes([768 * 2 ** 10, 32, 32], new Uint8Array(9)); // 768 MiB, and the header
    await expect(unpackGzip(gzipSync(header), 'x.gz')).rejects.toThrow(
      /x.gz: its 805306384 bytes are more than the limit of 805306368 for compressed data; unpack it with gunzip/,
    );
    const longer = idxBytes([4], new Uint8Array(2 ** 20));
    await expect(unpackGzip(gzipSync(longer), 'x.gz')).rejects.toThrow(/holds more than its header states/);
  });
});

describe('loadIdxDataset', () => {
  it.each([true, false])('reads samples in [-1, 1] (gzip %s)', async (gzip) => {
    const folder = writeIdxDataset(temporaryFolder(), { count: 256, side: 3, classes: 4, gzip });
    const dataset = await loadIdxDataset(folder);
    expect(dataset).toMatchObject({ size: 256, sampleShape: [1, 1, 3, 3], classNames: ['0', '1', '2', '3'] });
    expect(await dataset.read(255)).toEqual({ values: new Float32Array(9).fill(1), label: 3 });
    expect((await dataset.read(0))?.values).toEqual(new Float32Array(9).fill(-1));
    expect((await dataset.read(6))?.label).toBe(2);
  });

  it('pads with the background around the image', async () => {
    const folder = writeIdxDataset(temporaryFolder(), { count: 256, side: 1, classes: 2 });
    const dataset = await loadIdxDataset(folder, { imageSize: 3, channels: 3 });
    const plane = [-1, -1, -1, -1, 1, -1, -1, -1, -1];
    expect(dataset.sampleShape).toEqual([1, 3, 3, 3]);
    expect([...(await dataset.read(255))!.values]).toEqual([...plane, ...plane, ...plane]);
  });

  it('takes the t10k files as the test split', async () => {
    const folder = writeIdxDataset(temporaryFolder(), { count: 5, side: 2, classes: 2, prefix: 't10k' });
    expect((await loadIdxDataset(folder, { split: 'test' })).size).toBe(5);
    await expect(loadIdxDataset(folder)).rejects.toThrow(/expected train-images-idx3-ubyte/);
  });

  it('takes the names with a dot, and the path of a file', async () => {
    const folder = writeIdxDataset(temporaryFolder(), { count: 5, side: 2, classes: 2, gzip: false });
    for (const kind of ['images-idx3', 'labels-idx1']) {
      const name = join(folder, `train-${kind}-ubyte`);
      renameSync(name, name.replace(/-(idx.)/, '.$1'));
    }
    expect((await loadIdxDataset(folder)).size).toBe(5);
    expect((await loadIdxDataset(join(folder, 'train-images.idx3-ubyte'))).size).toBe(5);
  });

  it('asks which, where a folder holds several datasets', async () => {
    const folder = writeIdxDataset(temporaryFolder(), { count: 5, side: 2, classes: 2 });
    for (const kind of ['images-idx3', 'labels-idx1']) {
      const bytes = readFileSync(join(folder, `train-${kind}-ubyte.gz`));
      writeFileSync(join(folder, `emnist-letters-train-${kind}-ubyte.gz`), bytes);
    }
    await expect(loadIdxDataset(folder)).rejects.toThrow(/several datasets.*emnist-letters-train/);
    const file = join(folder, 'emnist-letters-train-images-idx3-ubyte.gz');
    expect((await loadIdxDataset(file)).size).toBe(5);
  });

  it('knows the classes of Fashion-MNIST, unless it gets others', async () => {
    const folder = join(temporaryFolder(), 'fashion-mnist');
    writeIdxDataset(folder, { count: 20, side: 2, classes: 10 });
    expect((await loadIdxDataset(folder)).classNames[9]).toBe('Ankle boot');
    const classNames = [...'abcdefghij'];
    expect((await loadIdxDataset(folder, { classNames })).classNames).toEqual(classNames);
    await expect(loadIdxDataset(folder, { classNames: ['a'] })).rejects.toThrow(DatasetError);
  });

  it('refuses labels that are missing or of another number, and a size too small', async () => {
    const folder = writeIdxDataset(temporaryFolder(), { count: 5, side: 4, classes: 2, gzip: false });
    await expect(loadIdxDataset(folder, { imageSize: 2 })).rejects.toThrow(/4x4/);
    const labels = join(folder, 'train-labels-idx1-ubyte');
    writeFileSync(labels, idxBytes([4], new Uint8Array(4)));
    await expect(loadIdxDataset(folder)).rejects.toThrow(/5 images and 4 labels/);
    writeFileSync(labels, idxBytes([5, 1], new Uint8Array(5)));
    await expect(loadIdxDataset(folder)).rejects.toThrow(/expected 1 dimensions/);
    renameSync(labels, join(folder, 'elsewhere'));
    await expect(loadIdxDataset(folder)).rejects.toThrow(/no train-labels-idx1-ubyte/);
  });

  it('refuses an empty set and a missing path', async () => {
    const folder = writeIdxDataset(join(temporaryFolder(), 'a'), { count: 0, side: 4, classes: 1 });
    await expect(loadIdxDataset(folder)).rejects.toThrow(DatasetError);
    await expect(loadIdxDataset(join(folder, 'none'))).rejects.toThrow(DatasetError);
    mkdirSync(join(folder, 'empty'));
    await expect(loadIdxDataset(join(folder, 'empty'))).rejects.toThrow(DatasetError);
  });
});
