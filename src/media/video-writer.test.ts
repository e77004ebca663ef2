import { spawn } from 'node:child_process';
import { existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { join } from 'node:path';
import { setTimeout } from 'node:timers/promises';
import { pathToFileURL } from 'node:url';
import { describe, expect, it } from 'vitest';
import { framesOf, hasFfmpeg, movingSquare, psnr } from '../../test/support/ffmpeg.ts';
import { noiseImage } from '../../test/support/noise-image.ts';
import { temporaryFolder } from '../../test/support/temporary-folder.ts';
import { AcditError, ArgumentError } from '../errors.ts';
import { blankImage, enlarge, withChannels } from './image.ts';
import { probeVideo } from './video-reader.ts';
import { openVideoWriter, videoFormat } from './video-writer.ts';

const clip = movingSquare(6, 32, 3);
const options = { width: 32, height: 32, fps: 4 };
const rgb = (images: typeof clip) => images.map((image) => [...withChannels(image, 3).data]);

describe('openVideoWriter', () => {
  it.each(['clip.webp', 'clip.gif', 'clip'])('%s holds all frames so far after each block', async (name) => {
    const path = join(temporaryFolder(), name);
    const writer = await openVideoWriter(path, options);
    for (let done = 2; done <= 6; done += 2) {
      await writer.add(clip.slice(done - 2, done));
      const frames = await framesOf(path);
      expect(frames).toHaveLength(done);
      frames.forEach((frame, i) => {
        // Colours of a GIF's palette are off by 1 at most.
        expect(psnr(frame, clip[i])).toBeGreaterThan(name === 'clip.gif' ? 48 : 1000);
      });
    }
    await writer.finish();
    const fps = name === 'clip' ? undefined : 4;
    expect(await probeVideo(path)).toEqual({ width: 32, height: 32, fps, frames: 6 });
  });

  it.runIf(hasFfmpeg)('MP4 holds all frames so far after each block', async () => {
    const path = join(temporaryFolder(), 'clip.mp4');
    const writer = await openVideoWriter(path, options);
    for (let done = 1; done <= 6; done++) {
      await writer.add(clip.slice(done - 1, done));
      const frames = await framesOf(path);
      expect(frames).toHaveLength(done);
      frames.forEach((frame, i) => {
        expect(psnr(frame, clip[i])).toBeGreaterThan(38);
      });
    }
    await writer.finish();
    expect(await probeVideo(path)).toEqual({ width: 32, height: 32, fps: 4, frames: 6 });
  });

  it.each(['clip.webp', 'clip.gif', 'clip'])('%s takes grey frames, and enlarges', async (name) => {
    const path = join(temporaryFolder(), name);
    const grey = movingSquare(2, 16, 1);
    const writer = await openVideoWriter(path, { width: 16, height: 16, fps: 4, scale: 3 });
    await writer.add(grey);
    await writer.finish();
    expect(rgb(await framesOf(path))).toEqual(rgb(grey.map((image) => enlarge(image, 3))));
  });

  it('WebP of large frames loses little', async () => {
    const path = join(temporaryFolder(), 'clip.webp');
    const frames = movingSquare(2, 160, 3);
    const writer = await openVideoWriter(path, { width: 160, height: 160, fps: 4 });
    await writer.add(frames);
    const again = await framesOf(path);
    again.forEach((frame, i) => {
      expect(psnr(frame, frames[i])).toBeGreaterThan(35);
    });
    expect(again).toHaveLength(2);
  });

  it('GIF of many colours keeps each frame near its own', async () => {
    const path = join(temporaryFolder(), 'clip.gif');
    const frames = [noiseImage(32, 32, 3), blankImage(32, 32, 3, 200), noiseImage(32, 32, 3)];
    const writer = await openVideoWriter(path, options);
    await writer.add(frames);
    const again = await framesOf(path);
    again.forEach((frame, i) => {
      expect(psnr(frame, frames[i])).toBeGreaterThan(20);
    });
    expect(again).toHaveLength(3);
  });

  it.each([
    ['clip.gif', 30],
    ['clip.gif', 24],
    ['clip.webp', 30],
    ['clip.webp', 7],
  ])('%s keeps %i frames per second, though its clock is coarse', async (name, fps) => {
    const path = join(temporaryFolder(), name);
    const writer = await openVideoWriter(path, { width: 4, height: 4, fps });
    await writer.add(Array.from({ length: 2 * fps }, (_, i) => blankImage(4, 4, 1, i)));
    expect((await probeVideo(path)).fps).toBe(fps);
  });

  it('leaves what was there until the first frames come', async () => {
    const path = join(temporaryFolder(), 'clip.webp');
    writeFileSync(path, 'precious');
    const writer = await openVideoWriter(path, options);
    await expect(writer.finish()).rejects.toThrow(/needs at least one frame/);
    await expect(writer.add([clip[0], blankImage(8, 8, 3)])).rejects.toThrow(/frame 1 is 8x8, .* 32x32/);
    expect(readFileSync(path, 'utf8')).toBe('precious');
  });

  it('a folder loses the frames of an earlier, longer video, and nothing else', async () => {
    const path = join(temporaryFolder(), 'frames');
    mkdirSync(path);
    for (const name of ['frames-0009.png', 'frames.png', 'notes.txt']) writeFileSync(join(path, name), '');
    const writer = await openVideoWriter(path, options);
    await writer.add(clip.slice(0, 2));
    expect(readdirSync(path)).toEqual(['frames-0001.png', 'frames-0002.png', 'frames.png', 'notes.txt']);
  });

  it.each(['clip.webp', 'clip.mp4', 'frames'])('says why %s cannot be written', async (name) => {
    const folder = temporaryFolder();
    const missing = await openVideoWriter(join(folder, 'missing', name), options);
    await expect(missing.add(clip)).rejects.toThrow(/^cannot write .*: its folder does not exist/);
    writeFileSync(join(folder, 'file'), '');
    const misplaced = await openVideoWriter(join(folder, 'file', name), options);
    await expect(misplaced.add(clip)).rejects.toThrow(AcditError);
    expect(existsSync(join(folder, 'missing'))).toBe(false);
  });

  it('refuses a folder of frames where a file is', async () => {
    const path = join(temporaryFolder(), 'frames');
    writeFileSync(path, '');
    const writer = await openVideoWriter(path, options);
    await expect(writer.add(clip)).rejects.toThrow(/cannot write .*frames: a file of that name is there/);
  });

  it.each([
    ['clip.gif', { fps: 60 }, /fps of gif is above 0 and at most 50, got 60/],
    ['clip.mp4', { fps: 0 }, /got 0/],
    ['clip.mp4', { fps: Number.NaN }, /got NaN/],
    ['clip.mp4', { width: 0 }, /got 0x32/],
    ['clip.mp4', { width: 2000, scale: 3 }, /1x1 to 4096x4096 pixels, got 2000x32 times 3/],
    ['clip.webp', { scale: 1.5 }, /scale must be a whole number from 1 on, got 1.5/],
    ['clip.avi', {}, /no video can be written as \.avi/],
  ])('refuses %s with %j', async (name, changed, message) => {
    const opened = openVideoWriter(join(temporaryFolder(), name), { ...options, ...changed });
    await expect(opened).rejects.toThrow(message);
    await expect(opened).rejects.toThrow(ArgumentError);
  });
});

it('the format is named by the extension', () => {
  expect(['a.mp4', 'b/A.WebP', 'x.y/c.gif', 'folder', 'x.y/d'].map(videoFormat)).toEqual([
    ...['mp4', 'webp', 'gif', 'png', 'png'],
  ]);
  expect(() => videoFormat('frame.png')).toThrow(ArgumentError);
});

it.each(hasFfmpeg ? ['clip.mp4', 'clip.webp'] : ['clip.webp'])(
  'a kill at any moment leaves %s whole',
  async (name) => {
    const path = join(temporaryFolder(), name);
    const modules = ['./video-writer.ts', '../../test/support/noise-image.ts'];
    const script = `
    const [{ openVideoWriter }, { noiseImage }] = await Promise.all(
      ${JSON.stringify(modules.map((module) => new URL(module, import.meta.url).href))}.map((url) => import(url)));
    const writer = await openVideoWriter(process.argv[1], { width: 32, height: 32, fps: 4 });
    for (;;) await writer.add([noiseImage(32, 32, 3), noiseImage(32, 32, 1)]);`;
    const loader = pathToFileURL(createRequire(import.meta.url).resolve('tsx')).href;
    const child = spawn(process.execPath, [
      '--import',
      loader,
      '--input-type=module',
      '--eval',
      script,
      path,
    ]);
    const closed = new Promise((resolve) => child.on('close', resolve));
    while (child.exitCode === null && !existsSync(path)) await setTimeout(5);
    await setTimeout(200);
    child.kill('SIGKILL');
    await closed;
    const frames = await framesOf(path);
    expect(frames.length).toBeGreaterThan(0);
    expect(frames.length % 2).toBe(0);
  },
);
