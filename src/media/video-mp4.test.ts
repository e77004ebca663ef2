import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { framesOf, hasFfmpeg, movingSquare, psnr } from '../../test/support/ffmpeg.ts';
import { temporaryFolder } from '../../test/support/temporary-folder.ts';
import { blankImage, crop, enlarge, type Image, withChannels } from './index.ts';
import { mp4Encoder } from './video-mp4.ts';
import { probeVideo } from './video-reader.ts';
import { openVideoWriter } from './video-writer.ts';

/** Boxes that hold boxes. */
const CONTAINERS = new Set(['moov', 'trak', 'mdia', 'minf', 'stbl']);

/** Path and content of each box of an MP4, in order. Source: ISO/IEC 14496-12. */
function boxes(file: Buffer, parent = ''): [path: string, content: Buffer][] {
  const out: [string, Buffer][] = [];
  for (let at = 0; at < file.length; ) {
    const size = file.readUInt32BE(at);
    const type = file.toString('latin1', at + 4, at + 8);
    if (size < 8 || at + size > file.length) throw new Error(`box ${type} of ${size} bytes at ${at}`);
    const content = file.subarray(at + 8, at + size);
    out.push([`${parent}${type}`, content]);
    if (CONTAINERS.has(type)) out.push(...boxes(content, `${parent}${type}/`));
    at += size;
  }
  return out;
}

/** The 32-bit numbers of a box after its first `skip` bytes. */
const numbers = (content: Buffer, skip: number) =>
  Array.from({ length: Math.floor((content.length - skip) / 4) }, (_, i) =>
    content.readUInt32BE(skip + 4 * i),
  );

async function write(path: string, frames: readonly Image[], fps: number, block = frames.length, scale = 1) {
  const { width, height } = frames[0];
  const writer = await openVideoWriter(path, { width, height, fps, scale });
  for (let i = 0; i < frames.length; i += block) await writer.add(frames.slice(i, i + block));
  await writer.finish();
}

describe('MP4', () => {
  it('has its index in front, H.264 samples, and a key frame for each block', async () => {
    const path = join(temporaryFolder(), 'clip.mp4');
    await write(path, movingSquare(12, 32, 3), 4, 4);
    const found = boxes(readFileSync(path));
    expect(found.map(([name]) => name).filter((name) => !name.includes('/'))).toEqual([
      'ftyp',
      'moov',
      'mdat',
    ]);
    const table = (name: string) => found.find(([path]) => path === `moov/trak/mdia/minf/stbl/${name}`)![1];
    const description = table('stsd');
    expect(description.toString('latin1', 12, 16)).toBe('avc1');
    expect([description.readUInt16BE(8 + 32), description.readUInt16BE(8 + 34)]).toEqual([32, 32]);
    const avcC = description.indexOf('avcC') + 4;
    expect([...description.subarray(avcC, avcC + 2)]).toEqual([1, 66]); // baseline profile
    const colr = description.indexOf('colrnclx') + 8;
    expect([...description.subarray(colr, colr + 7)]).toEqual([0, 6, 0, 6, 0, 6, 0]); // BT.601, limited range
    expect(numbers(table('stss'), 8)).toEqual([1, 5, 9]);
    const [uniform, count, ...sizes] = numbers(table('stsz'), 4);
    expect([uniform, count]).toEqual([0, 12]);
    const mdat = found.find(([name]) => name === 'mdat')![1];
    expect(sizes.reduce((sum, size) => sum + size, 0)).toBe(mdat.length);
    const timescale = found.find(([name]) => name === 'moov/trak/mdia/mdhd')![1].readUInt32BE(12);
    expect(numbers(table('stts'), 4)).toEqual([1, 12, timescale / 4]);
  });

  it('takes no part in the process: no listeners are left', async () => {
    const events = ['uncaughtException', 'unhandledRejection', 'exit', 'SIGINT'];
    const counts = () => events.map((event) => process.listenerCount(event));
    const before = counts();
    await mp4Encoder(4).add([blankImage(16, 16, 3)]);
    expect(counts()).toEqual(before);
  });

  it('keeps memory flat over 200 blocks', async () => {
    const encoder = mp4Encoder(4);
    const frames = movingSquare(4, 64, 3);
    const memory = async (blocks: number): Promise<number> => {
      for (let i = 0; i < blocks; i++) {
        await encoder.add(frames);
        await encoder.file();
      }
      return process.memoryUsage().rss;
    };
    const early = await memory(50);
    // The wasm of 150 encoders that were not freed would be over 1 GB.
    expect((await memory(150)) - early).toBeLessThan(2 ** 26);
  });
});

describe.runIf(hasFfmpeg)('MP4 decoded by ffmpeg', () => {
  it.each([
    // What a block of four pixels shares is colour: grey, and colour enlarged, lose less.
    ['grey of 32 pixels', 32, 1, 1, 45],
    ['colour of 32 pixels', 32, 3, 1, 36],
    ['colour of 32 pixels enlarged four times', 32, 3, 4, 40],
    ['colour of 256 pixels', 256, 3, 1, 40],
  ] as const)('%s is near to the original', async (_, size, channels, scale, least) => {
    const path = join(temporaryFolder(), 'clip.mp4');
    const frames = movingSquare(8, size, channels);
    await write(path, frames, 4, 4, scale);
    const decoded = await framesOf(path);
    expect(decoded).toHaveLength(8);
    const worst = Math.min(...decoded.map((frame, i) => psnr(frame, enlarge(frames[i], scale))));
    expect(worst).toBeGreaterThan(least);
  });

  it.each([
    ['fps 0.5', 0.5],
    ['fps 4', 4],
    ['fps 23.976', 23.976],
    ['fps 60', 60],
  ])('%s is kept', async (_, fps) => {
    const path = join(temporaryFolder(), 'clip.mp4');
    await write(path, movingSquare(7, 16, 1), fps, 3);
    const info = await probeVideo(path);
    expect(info).toEqual({ width: 16, height: 16, fps: expect.closeTo(fps, 2), frames: 7 });
    expect(await framesOf(path)).toHaveLength(7);
  });

  it.each([
    [1, 1],
    [2, 2],
    [33, 31],
    [50, 18],
  ])('a size of %i x %i is made even by repeating the edge', async (width, height) => {
    const path = join(temporaryFolder(), 'clip.mp4');
    const frames = movingSquare(3, 64, 1).map((image) => crop(image, 0, 0, width, height));
    await write(path, frames, 4);
    const decoded = await framesOf(path);
    expect([decoded[0].width, decoded[0].height]).toEqual([
      2 * Math.ceil(width / 2),
      2 * Math.ceil(height / 2),
    ]);
    decoded.forEach((frame, i) => {
      expect(psnr(crop(frame, 0, 0, width, height), withChannels(frames[i], 3))).toBeGreaterThan(38);
    });
  });

  it('one block of 100 frames has key frames in between', async () => {
    const path = join(temporaryFolder(), 'clip.mp4');
    await write(path, movingSquare(100, 32, 1), 25);
    const file = readFileSync(path);
    const stss = file.indexOf('stss');
    expect(file.readUInt32BE(stss + 8)).toBe(3);
    expect(await framesOf(path)).toHaveLength(100);
  });
});
