import { spawnSync } from 'node:child_process';
import { chmodSync, cpSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import sharp from 'sharp';
import { afterEach, describe, expect, it, vi } from 'vitest';
import { framesOf, hasFfmpeg, movingSquare, psnr } from '../../test/support/ffmpeg.ts';
import { temporaryFolder } from '../../test/support/temporary-folder.ts';
import { FormatError, VideoDecoderError } from '../errors.ts';
import { blankImage, encodePng, type Image } from './image.ts';
import { probeVideo, readFrames } from './video-reader.ts';
import { openVideoWriter } from './video-writer.ts';

const fixture = (name: string) => join('test', 'fixtures', 'video', name);

afterEach(() => {
  vi.unstubAllEnvs();
  vi.useRealTimers();
});

/** Write bytes into a file of a new folder. */
function file(name: string, bytes: string | Uint8Array): string {
  const path = join(temporaryFolder(), name);
  writeFileSync(path, bytes);
  return path;
}

/** Stand in for ffmpeg and ffprobe. */
function fakeFfmpeg(script: string): void {
  const path = file('ffmpeg', `#!/bin/sh\n${script}\n`);
  chmodSync(path, 0o755);
  vi.stubEnv('FFMPEG_PATH', path);
  vi.stubEnv('FFPROBE_PATH', path);
}

describe.runIf(hasFfmpeg)('videos', () => {
  // Made by ffmpeg 5.1: -f lavfi -i nullsrc=size=16x16:rate=5:duration=1,format=gbrp,geq=r='14*X':g='14*Y':b='50*N'.
  // The AVI has B-frames.
  it.each([
    ['h264.mp4', 16, 16, 5, 30],
    ['mjpeg.mov', 16, 16, 5, 30],
    ['xvid.avi', 18, 14, 5, 25],
    ['vp9.webm', 16, 16, undefined, 30],
    ['ffv1.mkv', 16, 16, undefined, 1000],
  ])('%s is read frame by frame', async (name, width, height, counted, decibels) => {
    expect(await probeVideo(fixture(name))).toEqual({ width, height, fps: 5, frames: counted });
    const frames = await framesOf(fixture(name));
    expect(frames).toHaveLength(5);
    frames.forEach((frame, n) => {
      const original = blankImage(width, height, 3, 50 * n);
      for (let i = 0; i < width * height; i++) {
        original.data.set([14 * (i % width), 14 * Math.floor(i / width)], 3 * i);
      }
      expect(psnr(frame, original), `frame ${n}`).toBeGreaterThan(decibels);
    });
  });

  it.each(['-y.mp4', 'http:example.mp4', 'concat:a|b.mp4', '$(touch hacked) `x`; a.mp4', 'ü %d.mp4'])(
    'a file may be called %s',
    async (name) => {
      const path = file(name, readFileSync(fixture('h264.mp4')));
      expect(await framesOf(path)).toHaveLength(5);
      expect((await probeVideo(path)).frames).toBe(5);
    },
  );

  it.each([
    ['a playlist', 'list.mp4', (path: string) => `#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\n${path}\n`],
    ['a list of files', 'list.avi', (path: string) => `ffconcat version 1.0\nfile '${path}'\n`],
  ])('%s is not followed', async (_, name, content) => {
    const path = file(name, content(join(process.cwd(), fixture('h264.mp4'))));
    await expect(framesOf(path)).rejects.toThrow(/list\.\w+: no readable video \(/);
  });

  it('a file with sound only has no video stream', async () => {
    await expect(framesOf(fixture('audio.mp4'))).rejects.toThrow(
      /audio\.mp4: there is no video stream in it$/,
    );
    await expect(probeVideo(fixture('audio.mp4'))).rejects.toThrow(FormatError);
  });

  it('an unknown codec is named', async () => {
    const bytes = readFileSync(fixture('h264.mp4')).toString('latin1').replaceAll('avc1', 'zzzz');
    const path = file('strange.mp4', Buffer.from(bytes, 'latin1'));
    await expect(framesOf(path)).rejects.toThrow(
      /strange\.mp4: this ffmpeg has no decoder for its codec, zzzz$/,
    );
  });

  it.each([
    ['noise', Uint8Array.from({ length: 5000 }, (_, i) => (i * i * 31 + 7 * i) & 255)],
    ['text', 'not a video'],
    ['the beginning of an MP4', readFileSync(fixture('h264.mp4')).subarray(0, 700)],
  ])('%s is not a video', async (_, bytes) => {
    const path = file('bad.mp4', bytes);
    await expect(framesOf(path)).rejects.toThrow(FormatError);
    await expect(framesOf(path)).rejects.toThrow(/bad\.mp4: .*(no readable video|no frame of its)/);
  });

  it('a video that is cut short gives its first frames, then says so', async () => {
    const whole = join(temporaryFolder(), 'whole.mp4');
    const writer = await openVideoWriter(whole, { width: 32, height: 32, fps: 4 });
    await writer.add(movingSquare(20, 32, 3));
    const bytes = readFileSync(whole);
    const path = file('short.mp4', bytes.subarray(0, bytes.length - 300));
    const frames: Image[] = [];
    const reading = async () => {
      for await (const frame of readFrames(path)) frames.push(frame);
    };
    await expect(reading()).rejects.toThrow(/short\.mp4: damaged or cut short after \d+ frames/);
    expect(frames.length).toBeGreaterThan(0);
    expect(frames.length).toBeLessThan(20);
  });

  it('reading stops with the loop, and ffmpeg with it', async () => {
    const path = join(temporaryFolder(), 'long.mp4');
    const writer = await openVideoWriter(path, { width: 256, height: 256, fps: 25 });
    await writer.add(movingSquare(60, 256, 1));
    let count = 0;
    for await (const _ of readFrames(path)) if (++count === 2) break;
    expect(count).toBe(2);
    expect(children()).toEqual([]);
  });

  it('an abort stops it with its reason', async () => {
    const stop = new AbortController();
    const reading = async () => {
      for await (const _ of readFrames(fixture('h264.mp4'), { signal: stop.signal }))
        stop.abort(new Error('enough'));
    };
    await expect(reading()).rejects.toThrow('enough');
    await expect(probeVideo(fixture('h264.mp4'), { signal: stop.signal })).rejects.toThrow('enough');
    expect(children()).toEqual([]);
  });
});

/** Commands of this process' children. */
function children(): string[] {
  const { stdout } = spawnSync('ps', ['-o', 'comm=', '--ppid', `${process.pid}`], { encoding: 'utf8' });
  return stdout.split('\n').filter((name) => name.startsWith('ffmpeg'));
}

describe('without ffmpeg', () => {
  it('says what to install', async () => {
    vi.stubEnv('FFMPEG_PATH', 'no-such-ffmpeg');
    vi.stubEnv('FFPROBE_PATH', 'no-such-ffprobe');
    const message =
      /needs (ffmpeg|ffprobe), and no-such-\w+ is missing; install ffmpeg \(apt-get install ffmpeg/;
    for (const attempt of [framesOf, probeVideo]) {
      await expect(attempt(fixture('h264.mp4'))).rejects.toThrow(VideoDecoderError);
      await expect(attempt(fixture('h264.mp4'))).rejects.toThrow(message);
    }
  });

  it('a program other than ffmpeg does not cause an endless wait', async () => {
    fakeFfmpeg('yes');
    await expect(framesOf(fixture('h264.mp4'))).rejects.toThrow(/not a PPM image/);
  });

  it('a decoder that is stuck is given up', async () => {
    fakeFfmpeg('exec sleep 1000');
    vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'] });
    const attempt = expect(framesOf(fixture('h264.mp4'))).rejects.toThrow(/gave nothing for 60 s/);
    while (vi.getTimerCount() === 0) await new Promise((resolve) => setImmediate(resolve));
    vi.advanceTimersByTime(60_000);
    await attempt;
  });

  it('a decoder that is stuck heeds the signal', async () => {
    fakeFfmpeg('exec sleep 1000');
    const signal = AbortSignal.timeout(100);
    const reading = async () => {
      for await (const _ of readFrames(fixture('h264.mp4'), { signal }));
    };
    await expect(reading()).rejects.toThrow(/timeout/);
  });
});

describe('animations, images and folders', () => {
  it('an animation of more frames than are decoded at once comes back whole', async () => {
    const path = join(temporaryFolder(), 'clip.webp');
    const frames = movingSquare(35, 24, 3);
    const writer = await openVideoWriter(path, { width: 24, height: 24, fps: 10 });
    await writer.add(frames);
    expect(await framesOf(path)).toEqual(frames);
    expect(await probeVideo(path)).toEqual({ width: 24, height: 24, fps: 10, frames: 35 });
  });

  it("an animation of sharp's own is read", async () => {
    const frames = movingSquare(3, 24, 3);
    const pictures = await Promise.all(frames.map(encodePng));
    const bytes = await sharp(pictures.map(Buffer.from), { join: { animated: true } })
      .webp({ lossless: true, delay: [500, 500, 500] })
      .toBuffer();
    const path = file('clip.webp', bytes);
    expect(await framesOf(path)).toEqual(frames);
    expect(await probeVideo(path)).toEqual({ width: 24, height: 24, fps: 2, frames: 3 });
  });

  it('an image is a clip of one frame', async () => {
    const path = file('a.png', await encodePng(blankImage(5, 4, 1, 9)));
    expect((await framesOf(path)).map(({ channels, data }) => [channels, data[0]])).toEqual([[1, 9]]);
    expect(await probeVideo(path)).toEqual({ width: 5, height: 4, fps: undefined, frames: 1 });
  });

  it('a folder is read in the order of its numbers', async () => {
    const folder = temporaryFolder();
    for (const n of [10, 9, 1])
      writeFileSync(join(folder, `f${n}.png`), await encodePng(blankImage(2, 2, 1, n)));
    writeFileSync(join(folder, 'notes.txt'), '');
    expect((await framesOf(folder)).map(({ data }) => data[0])).toEqual([1, 9, 10]);
    expect(await probeVideo(folder)).toEqual({ width: 2, height: 2, fps: undefined, frames: 3 });
  });

  it('refuses what holds no frames, or frames of different sizes', async () => {
    const folder = temporaryFolder();
    await expect(framesOf(folder)).rejects.toThrow(/there are no images in this folder/);
    mkdirSync(join(folder, 'a'));
    writeFileSync(join(folder, 'a', '1.png'), await encodePng(blankImage(2, 2, 1)));
    writeFileSync(join(folder, 'a', '2.png'), await encodePng(blankImage(3, 2, 1)));
    await expect(framesOf(join(folder, 'a'))).rejects.toThrow(/frame 1 is 3x2, the first is 2x2/);
    await expect(framesOf(file('empty.mp4', ''))).rejects.toThrow(/empty\.mp4: the file is empty/);
    await expect(framesOf(file('bad.gif', 'GIF89a'))).rejects.toThrow(FormatError);
    await expect(framesOf(join(folder, 'missing.mp4'))).rejects.toThrow(/ENOENT/);
    cpSync(fixture('h264.mp4'), join(folder, 'video.webp'));
    await expect(framesOf(join(folder, 'video.webp'))).rejects.toThrow(/not a readable image/);
  });
});
