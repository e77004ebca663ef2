import { createHash } from 'node:crypto';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import sharp from 'sharp';
import { describe, expect, it } from 'vitest';
import { temporaryFolder } from '../../test/support/temporary-folder.ts';
import { FormatError } from '../errors.ts';
import { openImage, readImage, withChannels } from './image.ts';

const folder = fileURLToPath(new URL('../../test/fixtures/images/', import.meta.url));
const fixture = (name: string): string => join(folder, name);

interface PillowImage {
  readonly mode: string;
  readonly size: readonly [width: number, height: number];
  readonly sha256: string;
}
/** What Pillow's `Image.open(file).convert('RGB')` gives; see make.py. */
const pillow = JSON.parse(readFileSync(fixture('pillow.json'), 'utf8')) as Record<string, PillowImage> & {
  readonly grey16: { readonly highBytes: string };
  readonly avif: { readonly pixels: readonly number[] };
};

const digest = (bytes: Uint8Array): string => createHash('sha256').update(bytes).digest('hex');

const UNLIKE_PILLOW = /^(float|int32|ycbcr|grey16)|avif/;
const files = Object.keys(pillow).filter((name) => !UNLIKE_PILLOW.test(name));

describe('readImage', () => {
  it.each(files)('reads %s as Pillow does', async (name) => {
    const { size, sha256 } = pillow[name];
    const image = await readImage(fixture(name));
    expect([image.width, image.height]).toEqual(size);
    expect(digest(withChannels(image, 3).data)).toBe(sha256);
  });

  it('is tested on every format that it reads', () => {
    const formats = new Set(files.map((name) => name.slice(name.lastIndexOf('.'))));
    expect([...formats].sort()).toEqual(
      ['.bmp', '.gif', '.jpg', '.pbm', '.pgm', '.png', '.ppm', '.tif', '.webp'].sort(),
    );
  });

  it.each(['grey16.png', 'grey16.tif'])(
    'takes the high byte of %s, which Pillow clips to white',
    async (name) => {
      const image = await readImage(fixture(name));
      expect(image.channels).toBe(1);
      expect(digest(image.data)).toBe(pillow.grey16.highBytes);
    },
  );

  it('reads AVIF as Pillow does, but for how colour is interpolated', async () => {
    const { data } = await readImage(fixture('rgb.avif'));
    const errors = pillow.avif.pixels.map((value, i) => Math.abs(value - data[i]));
    expect(Math.max(...errors)).toBeLessThanOrEqual(12);
    expect(errors.reduce((a, b) => a + b) / errors.length).toBeLessThan(3);
  });

  it.each([
    [
      'float.tif',
      /its values are of type float, whose black and white are unknown; convert it to 8 or 16 bits/,
    ],
    ['int32.tif', /its values are of type int/],
    ['ycbcr.tif', /its colours are YCbCr; convert it to RGB/],
  ])('refuses %s rather than to guess its colours', async (name, message) => {
    await expect(readImage(fixture(name))).rejects.toThrow(FormatError);
    await expect(readImage(fixture(name))).rejects.toThrow(message);
  });

  it.each(['sideways.jpg', 'sideways.png', 'sideways.webp'])('turns %s if asked to', async (name) => {
    const stored = await readImage(fixture(name));
    const turned = await readImage(fixture(name), { exifOrientation: true });
    expect([turned.width, turned.height]).toEqual([stored.height, stored.width]);
    // Orientation 6: the first row becomes the last column.
    for (let x = 0; x < stored.width; x++) {
      const at = 3 * (x * turned.width + turned.width - 1);
      expect([...turned.data.subarray(at, at + 3)]).toEqual([...stored.data.subarray(3 * x, 3 * x + 3)]);
    }
  });

  it('goes by the content, not the name', async () => {
    const path = join(temporaryFolder(), 'picture.jpg');
    writeFileSync(path, readFileSync(fixture('rgb.bmp')));
    expect(digest((await readImage(path)).data)).toBe(pillow['rgb.bmp'].sha256);
    writeFileSync(path, Buffer.from('\0\0\0\x18ftypheic\0\0\0\0mif1heic'));
    await expect(readImage(path)).rejects.toThrow(
      /picture.jpg: not a readable image \(its content is heic; the supported formats are/,
    );
  });

  it.each([
    'rgb.bmp',
    'rle8.bmp',
    'rle4.bmp',
    '565.bmp',
    'palette.bmp',
    'rgb.ppm',
    'grey.pgm',
    'text.ppm',
    'bits.pbm',
  ])('refuses %s when it is cut short anywhere, and never fails in another way', async (name) => {
    const bytes = readFileSync(fixture(name));
    for (let length = 1; length < bytes.length; length += Math.max(1, Math.floor(bytes.length / 40))) {
      // What follows the pixels, and the end of text, may be missing.
      const read = readImage(bytes.subarray(0, length)).catch((error: unknown) => error);
      const result = await read;
      if (length < bytes.length / 2) expect(result).toBeInstanceOf(FormatError);
      else if (result instanceof Error) expect(result).toBeInstanceOf(FormatError);
    }
  });

  it.each([
    ['png', 40],
    ['tiff', 40],
  ] as const)('refuses a %s of more pixels than the limit before it decodes them', async (format, side) => {
    const raw = { width: side, height: side, channels: 3 } as const;
    const bytes = await sharp(new Uint8Array(3 * side * side), { raw })
      .toFormat(format)
      .toBuffer();
    await expect(readImage(bytes, { maxPixels: side * side })).resolves.toMatchObject({ width: side });
    await expect(openImage(bytes, { maxPixels: side * side - 1 })).rejects.toThrow(
      /is 40 x 40 pixels, more than the limit of 1599; make it smaller, or raise the limit with --max-pixels/,
    );
  });

  it.each(['rgb.bmp', 'rgb.ppm', 'rgb.gif', 'rgb.avif'])('bounds the pixels of %s too', async (name) => {
    await expect(openImage(fixture(name), { maxPixels: 300 })).resolves.toMatchObject({
      width: 20,
      height: 15,
    });
    await expect(openImage(fixture(name), { maxPixels: 299 })).rejects.toThrow(/more than the limit of 299/);
  });

  it('reads no file that is longer than pixels within the limit can be', async () => {
    const path = join(temporaryFolder(), 'long.bmp');
    writeFileSync(
      path,
      Buffer.concat([readFileSync(fixture('rgb.bmp')), Buffer.alloc(16 * 2 ** 20 + 8 * 300)]),
    );
    await expect(readImage(path, { maxPixels: 300 })).rejects.toThrow(/bytes long, more than the limit of/);
  });
});
