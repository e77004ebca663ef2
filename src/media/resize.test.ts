import { createHash } from 'node:crypto';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { noiseImage } from '../../test/support/noise-image.ts';
import { ArgumentError } from '../errors.ts';
import { blankImage } from './image.ts';
import { centerCrop, resize, shortSideCrop } from './resize.ts';

describe('resize', () => {
  // Pillow 9.4: Image.frombytes('L', (7, 5), noise).resize((3, 8), Image.BOX or Image.BICUBIC)
  it('equals Pillow with the box filter', () => {
    expect([...resize(noiseImage(7, 5, 1), 3, 8, 'box').data]).toEqual([
      112, 101, 101, 112, 101, 101, 154, 143, 63, 66, 161, 136, 66, 161, 136, 100, 43, 176, 16, 78, 87, 16,
      78, 87,
    ]);
  });

  it('equals Pillow with the bicubic filter', () => {
    expect([...resize(noiseImage(7, 5, 1), 3, 8, 'bicubic').data]).toEqual([
      101, 105, 93, 140, 124, 68, 176, 149, 50, 102, 155, 124, 78, 119, 160, 107, 52, 144, 54, 61, 114, 11,
      79, 94,
    ]);
  });
});

describe('shortSideCrop', () => {
  it('filters linearly', () => {
    const image = { ...blankImage(2, 2, 1), data: Uint8Array.of(0, 100, 0, 100) };
    expect([...shortSideCrop(image, 4).data.slice(0, 4)]).toEqual([0, 25, 75, 100]);
  });

  it('keeps the middle of the long side', () => {
    const image = blankImage(9, 3, 1);
    for (let i = 0; i < 27; i++) image.data[i] = 10 * (i % 9);
    expect([...shortSideCrop(image, 3).data]).toEqual([30, 40, 50, 30, 40, 50, 30, 40, 50]);
  });

  it('is always the square asked for and keeps one colour', () => {
    const side = fc.integer({ min: 1, max: 70 });
    fc.assert(
      fc.property(side, side, fc.integer({ min: 1, max: 40 }), (width, height, size) => {
        expect(shortSideCrop(blankImage(width, height, 1, 77), size)).toEqual(blankImage(size, size, 1, 77));
      }),
    );
    expect(() => shortSideCrop(blankImage(4, 4, 1), 0)).toThrow(ArgumentError);
  });
});

describe('centerCrop', () => {
  // First 16 digits of the SHA-256 of ADM's center_crop_arr with Pillow 9.4.
  it.each([
    [37, 53, 3, 8, 'e8e4dc6918f13320'],
    [37, 53, 3, 32, 'e0831f1691d1186e'],
    [9, 7, 1, 16, 'eeb9c3cfe42c960a'],
    [64, 48, 3, 48, 'eb63636827b5a550'],
    [101, 33, 1, 16, 'f12ab57ec7a9013b'],
    [5, 4, 3, 2, 'ffd3a705ddbd1b6a'],
  ] as const)(
    'of %i x %i, %i channels, to %i equals ADM with Pillow',
    (width, height, channels, size, digest) => {
      const { data } = centerCrop(noiseImage(width, height, channels), size);
      expect(createHash('sha256').update(data).digest('hex').slice(0, 16)).toBe(digest);
    },
  );

  it('is always the square asked for and keeps one colour', () => {
    const side = fc.integer({ min: 1, max: 70 });
    fc.assert(
      fc.property(side, side, fc.integer({ min: 1, max: 40 }), (width, height, size) => {
        const image = centerCrop(blankImage(width, height, 1, 77), size);
        expect([image.width, image.height]).toEqual([size, size]);
        expect(image.data.every((value) => value === 77)).toBe(true);
      }),
    );
  });

  it('refuses a size that is none', () => {
    expect(() => centerCrop(blankImage(4, 4, 1), 0)).toThrow(ArgumentError);
  });
});
