/** @file The same pixels and arrays give the same bytes, whenever and wherever they are written. */

import { execFileSync } from 'node:child_process';
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it, onTestFinished, vi } from 'vitest';
import { hasFfmpeg, movingSquare } from '../../test/support/ffmpeg.ts';
import { temporaryFolder } from '../../test/support/temporary-folder.ts';
import { encodeNpz } from '../formats/npz.ts';
import { float32 } from '../tensor/tensor.ts';
import { encodeImage } from './image.ts';
import { openVideoWriter, VIDEO_FORMATS, type VideoFormat } from './video-writer.ts';

/** What is written on two days of different years and at different times of the day. */
async function twice<T>(write: () => Promise<T>): Promise<[T, T]> {
  onTestFinished(() => {
    vi.useRealTimers();
  });
  vi.useFakeTimers({ toFake: ['Date'], now: new Date('2024-02-29T01:02:03Z') });
  const first = await write();
  vi.setSystemTime(new Date('2031-07-04T23:59:59Z'));
  return [first, await write()];
}

async function video(format: VideoFormat): Promise<string> {
  const path = join(temporaryFolder(), format === 'png' ? 'clip' : `clip.${format}`);
  const writer = await openVideoWriter(path, { width: 32, height: 32, fps: 4 });
  const frames = movingSquare(8, 32, 3);
  await writer.add(frames.slice(0, 4));
  await writer.add(frames.slice(4));
  await writer.finish();
  return path;
}

/** Names and contents of a file, or of the files of a folder. */
function contents(path: string, format: VideoFormat): (readonly [string, string])[] {
  const names = format === 'png' ? readdirSync(path) : ['.'];
  return names.map((name) => [name, readFileSync(join(path, name)).toString('base64')] as const);
}

describe('the same content at another time', () => {
  it.each(VIDEO_FORMATS)('is the same %s', async (format) => {
    const [first, second] = await twice(async () => contents(await video(format), format));
    expect(second).toEqual(first);
  });

  it.each(['png', 'webp', 'jpeg'] as const)('is the same %s image', async (format) => {
    const [image] = movingSquare(1, 32, 3);
    const [first, second] = await twice(() => encodeImage(image, format));
    expect(second).toEqual(first);
  });

  it('is the same npz', async () => {
    const [first, second] = await twice(() => encodeNpz({ a: float32([2], [1, 2]) }));
    expect(second).toEqual(first);
  });

  it.skipIf(!hasFfmpeg)('has no creation time for ffprobe', async () => {
    const path = await video('mp4');
    const probe = process.env.FFPROBE_PATH || 'ffprobe';
    const report = execFileSync(probe, ['-v', 'error', '-show_format', '-show_streams', '-of', 'json', path]);
    const { format, streams } = JSON.parse(report.toString());
    expect(format.nb_streams).toBe(1);
    for (const { tags = {} } of [format, ...streams]) expect(tags).not.toHaveProperty('creation_time');
  });
});
