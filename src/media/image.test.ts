import { mkdtemp, open, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import fc from 'fast-check';
import sharp from 'sharp';
import { describe, expect, it, vi } from 'vitest';
import { noiseImage } from '../../test/support/noise-image.ts';
import { ArgumentError, FormatError, ShapeError } from '../errors.ts';
import {
  blankImage,
  encodePng,
  enlarge,
  grid,
  type Image,
  imageFromSamples,
  readImage,
  samplesFromImage,
  withChannels,
  writePng,
} from './image.ts';
import { labelRows, textImage } from './text.ts';

describe('imageFromSamples', () => {
  it('puts channels last and rounds and clamps as save_image', () => {
    // x * 255 + 0.5 truncated: 0 -> 127.5 + 0.5 = 128
    const image = imageFromSamples(Float32Array.of(-1, 0, 1, 2, -3, 0.5), [3, 1, 2]);
    expect(image).toEqual({
      width: 2,
      height: 1,
      channels: 3,
      data: Uint8Array.of(0, 255, 0, 128, 255, 191),
    });
  });

  it('rounds every step to float32 as PyTorch does, which float64 would not', () => {
    const values = Float32Array.of(-0.9960784316062927, -0.4941176474094391, -0.47843137383461);
    expect([...imageFromSamples(values, [1, 1, 3]).data]).toEqual([1, 65, 67]);
    expect(Array.from(values, (x) => Math.trunc((x + 1) * 127.5 + 0.5))).toEqual([0, 64, 66]);
  });

  it('is the inverse of samplesFromImage', () => {
    fc.assert(
      fc.property(
        fc.uint8Array({ minLength: 12, maxLength: 12 }),
        fc.constantFrom(1, 3),
        (data, channels) => {
          const image: Image = { width: 12 / channels / 2, height: 2, channels: channels as 1 | 3, data };
          const again = imageFromSamples(samplesFromImage(image), [channels, 2, image.width]);
          expect(again).toEqual(image);
        },
      ),
    );
  });

  it.each([[[2, 1, 1]], [[1, 2]], [[3, 1, 1]]])('refuses shape %s for 2 values', (shape) => {
    expect(() => imageFromSamples(new Float32Array(2), shape)).toThrow(ShapeError);
  });
});

describe('withChannels', () => {
  it('makes the grey of Pillow', () => {
    const grey = withChannels(noiseImage(5, 4, 3), 1);
    expect([...grey.data]).toEqual([
      80, 89, 86, 173, 67, 117, 114, 121, 31, 71, 68, 96, 142, 70, 209, 132, 174, 67, 101, 82,
    ]);
  });

  it('repeats grey in RGB', () => {
    const grey: Image = { width: 2, height: 1, channels: 1, data: Uint8Array.of(1, 2) };
    expect([...withChannels(grey, 3).data]).toEqual([1, 1, 1, 2, 2, 2]);
  });
});

describe('grid', () => {
  it('lays images out row by row with padding around each', () => {
    const images = [1, 2, 3].map((value) => blankImage(1, 1, 1, value));
    const image = grid(images, { columns: 2, padding: 1, background: 9 });
    expect([image.width, image.height]).toEqual([5, 5]);
    expect([...image.data]).toEqual(
      [9, 9, 9, 9, 9, 9, 1, 9, 2, 9, 9, 9, 9, 9, 9, 9, 3, 9, 9, 9].concat([9, 9, 9, 9, 9]),
    );
  });

  it('refuses no images and images that differ', () => {
    expect(() => grid([], { columns: 1 })).toThrow(ArgumentError);
    expect(() => grid([blankImage(1, 1, 1)], { columns: 0 })).toThrow(ArgumentError);
    expect(() => grid([blankImage(1, 1, 1), blankImage(1, 1, 3)], { columns: 2 })).toThrow(/image 1 is 1x1/);
  });
});

it('enlarges every pixel to a square', () => {
  const image: Image = { width: 2, height: 1, channels: 1, data: Uint8Array.of(1, 2) };
  expect([...enlarge(image, 2).data]).toEqual([1, 1, 2, 2, 1, 1, 2, 2]);
});

describe('text', () => {
  it('draws letters of the font', () => {
    const { width, height, data } = textImage('I!', { color: 1, background: 0 });
    expect([width, height]).toEqual([11, 8]);
    expect([...data.subarray(0, 11)]).toEqual([0, 1, 1, 1, 0, 0, 0, 0, 1, 0, 0]);
  });

  it('shows what it has no letter for as a question mark', () => {
    expect(textImage('é')).toEqual(textImage('?'));
  });

  it('keeps the image to the right of its labels', () => {
    const image = noiseImage(20, 40, 3);
    const labelled = labelRows(image, ['a', 'bag']);
    const left = labelled.width - image.width;
    expect([left, labelled.height]).toEqual([17 * 2 + 8, 40]);
    expect(labelled.data.subarray(left * 3, labelled.width * 3)).toEqual(image.data.subarray(0, 60));
  });
});

describe('image files', () => {
  it.each([1, 3] as const)('come back from PNG with %i channels', async (channels) => {
    const image = noiseImage(7, 5, channels);
    const again = await readImage(await encodePng(image));
    expect({ ...again, data: Uint8Array.from(again.data) }).toEqual(image);
  });

  it('are written into new folders and read by path', async () => {
    const folder = await mkdtemp(join(tmpdir(), 'acdit-image-'));
    try {
      const path = join(folder, 'deep', 'a.png');
      await writePng(path, noiseImage(3, 2, 3));
      expect(await readImage(path)).toMatchObject({ width: 3, height: 2, channels: 3 });
      await writeFile(path, (await readFile(path)).subarray(0, 40));
      await expect(readImage(path)).rejects.toThrow(FormatError);
      await expect(readImage(path)).rejects.toThrow(path);
    } finally {
      await rm(folder, { recursive: true });
    }
  });

  it('are written as a whole or not at all', async () => {
    const folder = await mkdtemp(join(tmpdir(), 'acdit-image-'));
    const path = join(folder, 'a.png');
    await writePng(path, noiseImage(3, 2, 3));
    const before = await readFile(path);
    const probe = await open(path);
    const write = vi.spyOn(Object.getPrototypeOf(probe), 'write');
    await probe.close();
    write.mockRejectedValueOnce(Object.assign(new Error('no space'), { code: 'ENOSPC' }));
    try {
      const failing = writePng(path, noiseImage(8, 8, 3));
      await expect(failing).rejects.toThrow(`cannot write ${path}: the disk is full; free some space`);
      expect((await readFile(path)).equals(before)).toBe(true);
      expect(await readdir(folder)).toEqual(['a.png']);
      const under = join(path, 'under', 'b.png');
      await expect(writePng(under, noiseImage(3, 2, 3))).rejects.toThrow(
        /^cannot write .*under: its folder is a file$/,
      );
    } finally {
      write.mockRestore();
      await rm(folder, { recursive: true });
    }
  });

  it('are turned upright on demand, lose their transparency and become 8-bit', async () => {
    const raw = { width: 4, height: 2, channels: 4 } as const;
    const bytes = await sharp(new Uint8Array(32).fill(200), { raw })
      .toColourspace('rgb16')
      .withMetadata({ orientation: 6 })
      .png()
      .toBuffer();
    await expect(readImage(bytes)).resolves.toMatchObject({ width: 4, height: 2 });
    const image = await readImage(bytes, { exifOrientation: true });
    expect(image).toMatchObject({ width: 2, height: 4, channels: 3 });
    expect(image.data).toHaveLength(24);
    expect(Math.abs(image.data[0] - 200)).toBeLessThanOrEqual(1);
  });

  it.each(['', 'not an image', '<svg xmlns="http://www.w3.org/2000/svg" width="9" height="9"/>'])(
    'refuse %j',
    async (text) => {
      await expect(readImage(new TextEncoder().encode(text))).rejects.toThrow(FormatError);
    },
  );

  it('refuse a JPEG that was cut short', async () => {
    const { width, height, data } = noiseImage(64, 64, 3);
    const bytes = await sharp(data, { raw: { width, height, channels: 3 } })
      .jpeg()
      .toBuffer();
    await expect(readImage(bytes)).resolves.toMatchObject({ width: 64 });
    await expect(readImage(bytes.subarray(0, bytes.length / 2))).rejects.toThrow(FormatError);
  });
});
