import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import fc from 'fast-check';
import { beforeEach, describe, expect, it } from 'vitest';
import { frameGrey, writeClip } from '../../../test/support/clip-files.ts';
import { hasFfmpeg } from '../../../test/support/ffmpeg.ts';
import { temporaryFolder } from '../../../test/support/temporary-folder.ts';
import { FormatError } from '../../errors.ts';
import { blankImage } from '../../media/image.ts';
import { type ClipRequest, clipSpan, clipStart, clipValues, cropFrame, readClip } from './clip.ts';

let folder: string;
let clip: string;
const LENGTH = 20;

beforeEach(async () => {
  folder = temporaryFolder();
  clip = await writeClip(join(folder, 'clip.webp'), { frames: LENGTH, side: 16, width: 24 });
});

const request = (changes: Partial<ClipRequest>): ClipRequest => ({
  path: clip,
  frames: 4,
  interval: 3,
  size: 8,
  channels: 3,
  place: 0,
  ...changes,
});

/** Numbers of the frames that a clip shows. */
const numbers = (data: Uint8Array, frames: number): number[] =>
  Array.from({ length: frames }, (_, t) => {
    const size = data.length / frames;
    const frame = data.subarray(t * size, (t + 1) * size);
    expect(new Set(frame).size).toBe(1);
    return frame[0] / 5;
  });

describe('the place of a clip', () => {
  it('is anywhere it fits, first and last included', () => {
    const starts = Array.from({ length: 1000 }, (_, i) => clipStart(LENGTH, 10, i / 1000));
    expect(new Set(starts)).toEqual(new Set(Array.from({ length: 11 }, (_, i) => i)));
    const count = fc.integer({ min: 1, max: 300 });
    const place = fc.double({ min: 0, max: 1, maxExcluded: true, noNaN: true });
    fc.assert(
      fc.property(count, count, place, (frames, interval, at) => {
        const span = clipSpan({ frames, interval });
        const start = clipStart(span + frames, span, at);
        expect(start).toBeGreaterThanOrEqual(0);
        expect(start + span).toBeLessThanOrEqual(span + frames);
      }),
    );
  });
});

describe('a clip', () => {
  it.each([
    [{ place: 0 }, [0, 3, 6, 9]],
    [{ place: 0.5 }, [5, 8, 11, 14]],
    [{ place: 0.9999 }, [10, 13, 16, 19]],
    [{ interval: 1, place: 0.5 }, [8, 9, 10, 11]],
    [{ frames: 20, interval: 1, place: 0.9 }, Array.from({ length: 20 }, (_, t) => t)],
    [{ frames: 1, interval: 50, place: 0.99 }, [19]],
    [{ length: 10, place: 0.99 }, [0, 3, 6, 9]],
  ])('of %j shows frames %j', async (changes, shown) => {
    const { data } = await readClip(request(changes));
    expect(data).toHaveLength(shown.length * 3 * 64);
    expect(numbers(data, shown.length)).toEqual(shown);
  });

  it('is grey if asked for', async () => {
    const { data, length } = await readClip(request({ channels: 1, size: 20 }));
    expect(data).toHaveLength(4 * 400);
    expect(numbers(data, 4)).toEqual([0, 3, 6, 9]);
    expect(length).toBe(LENGTH);
  });

  it('is found again where a video is shorter than it was said to be', async () => {
    const { data, length } = await readClip(request({ length: 400, place: 0.9999 }));
    expect(numbers(data, 4)).toEqual([10, 13, 16, 19]);
    expect(length).toBe(LENGTH);
  });

  it('needs a video that is long enough', async () => {
    await expect(readClip(request({ frames: 8 }))).rejects.toThrow(FormatError);
    await expect(readClip(request({ frames: 8 }))).rejects.toThrow(
      /clip.webp: has 20 frames, and a clip of 8 frames at an interval of 3 takes 22/,
    );
    await expect(readClip(request({ frames: 8, length: 99 }))).rejects.toThrow(/has 20 frames/);
  });

  it('needs a video that is whole', async () => {
    const broken = join(folder, 'broken.webp');
    writeFileSync(broken, readFileSync(clip).subarray(0, 150));
    await expect(readClip(request({ path: broken }))).rejects.toThrow(/broken.webp/);
    writeFileSync(broken, '');
    await expect(readClip(request({ path: broken }))).rejects.toThrow(/is empty/);
    await expect(readClip(request({ path: join(folder, 'none.mp4') }))).rejects.toThrow(/none.mp4/);
  });

  it('stops when told to', async () => {
    await expect(readClip(request({}), AbortSignal.abort(new Error('stopped')))).rejects.toThrow('stopped');
  });

  it.skipIf(!hasFfmpeg)('is cut out of an MP4', async () => {
    const mp4 = await writeClip(join(folder, 'clip.mp4'), { frames: LENGTH, side: 32 });
    const { data, length } = await readClip(request({ path: mp4, place: 0.5 }));
    expect(length).toBe(LENGTH);
    [5, 8, 11, 14].forEach((t, i) => {
      const mean = data.subarray(i * 192, (i + 1) * 192).reduce((a, b) => a + b) / 192;
      expect(Math.abs(mean - frameGrey(t))).toBeLessThan(2.4);
    });
  });
});

describe('a frame', () => {
  it('is the middle of the image, its short side brought to size', () => {
    const wide = blankImage(12, 4, 1);
    for (let i = 0; i < 48; i++) wide.data[i] = 20 * (i % 12);
    const same = cropFrame(wide, { size: 4, channels: 1 });
    expect([...same.data.slice(0, 4)]).toEqual([80, 100, 120, 140]);
    const half = cropFrame(wide, { size: 2, channels: 1 });
    expect(half.data).toHaveLength(4);
    expect(half.data[1]).toBeGreaterThan(half.data[0]);
    expect([...clipValues(same.data, { size: 4, channels: 1 })]).toEqual(
      [...same.data].map((value) => Math.fround(value / 127.5 - 1)),
    );
  });
});
