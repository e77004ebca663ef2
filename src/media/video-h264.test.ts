import { describe, expect, it } from 'vitest';
import { blankImage, type Image } from './image.ts';
import { yuv420 } from './video-h264.ts';

const pixel = (...data: number[]): Image => ({
  width: 1,
  height: 1,
  channels: 3,
  data: Uint8Array.from(data),
});

describe('yuv420', () => {
  // The 100% colour bars of BT.601.
  it.each([
    ['white', [255, 255, 255], [235, 128, 128]],
    ['black', [0, 0, 0], [16, 128, 128]],
    ['yellow', [255, 255, 0], [210, 16, 146]],
    ['cyan', [0, 255, 255], [170, 166, 16]],
    ['green', [0, 255, 0], [145, 54, 34]],
    ['magenta', [255, 0, 255], [106, 202, 222]],
    ['red', [255, 0, 0], [81, 90, 240]],
    ['blue', [0, 0, 255], [41, 240, 110]],
  ])('makes %s', (_, rgb, [y, cb, cr]) => {
    expect([...yuv420(pixel(...rgb)).data]).toEqual([y, y, y, y, cb, cr]);
  });

  it('repeats the last column and row of odd sizes', () => {
    const image: Image = {
      width: 3,
      height: 1,
      channels: 1,
      data: Uint8Array.of(0, 255, 51),
    };
    const { width, height, data } = yuv420(image);
    expect([width, height]).toEqual([4, 2]);
    const row = [16, 235, 60, 60];
    expect([...data]).toEqual([...row, ...row, 128, 128, 128, 128]);
  });

  it('averages colour over 2 x 2 pixels', () => {
    const image = blankImage(2, 2, 3);
    image.data.set([255, 0, 0], 0);
    // A quarter of red's distance from grey: 128 - 38 / 4, 128 + 112 / 4.
    expect([...yuv420(image).data]).toEqual([81, 16, 16, 16, 119, 156]);
  });
});
