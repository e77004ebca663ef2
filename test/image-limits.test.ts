/**
 * @file Small files that state large images: at each reader's limit a file is read, above it the file is refused before
 * anything is decoded. Peak memory is measured in a process of its own.
 */
// @module-tag slow

import { execFileSync } from 'node:child_process';
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { crc32, deflateSync, gzipSync } from 'node:zlib';
import sharp from 'sharp';
import { describe, expect, it } from 'vitest';
import { npyHeader } from '../src/formats/npy.ts';
import { encodeZip } from '../src/formats/zip.ts';
import { MAXIMUM_PIXELS } from '../src/media/image.ts';
import { hasFfmpeg } from './support/ffmpeg.ts';
import { idxBytes } from './support/idx-files.ts';
import { type ReadCost, readInChild } from './support/read-in-child.ts';
import { temporaryFolder } from './support/temporary-folder.ts';

const MAX_MEGABYTES = 1000;
const FFMPEG = process.env.FFMPEG_PATH || 'ffmpeg';
const options = { timeout: 300_000 };

/** A PNG of one colour. */
async function png(width: number, height: number): Promise<Uint8Array> {
  const create = { width, height, channels: 3 as const, background: { r: 90, g: 130, b: 200 } };
  return sharp({ create, limitInputPixels: false }).png({ compressionLevel: 1 }).toBuffer();
}

/** A PNG whose header states a size, with nothing to decode behind it. */
function hollowPng(width: number, height: number): Uint8Array {
  const chunk = (name: string, data: Uint8Array): Buffer => {
    const body = Buffer.concat([Buffer.from(name), data]);
    const [length, sum] = [Buffer.alloc(4), Buffer.alloc(4)];
    length.writeUInt32BE(data.length);
    sum.writeUInt32BE(crc32(body));
    return Buffer.concat([length, body, sum]);
  };
  const header = Buffer.from([...new Array(8).fill(0), 8, 2, 0, 0, 0]);
  header.writeUInt32BE(width, 0);
  header.writeUInt32BE(height, 4);
  const parts = [
    chunk('IHDR', header),
    chunk('IDAT', deflateSync(Buffer.alloc(9))),
    chunk('IEND', Buffer.alloc(0)),
  ];
  return Buffer.concat([Buffer.from('\x89PNG\r\n\x1a\n', 'latin1'), ...parts]);
}

/** A folder that training or an evaluation reads. */
function folderOf(kind: 'training' | 'evaluation', images: readonly Uint8Array[]): string {
  const folder = join(temporaryFolder(), kind);
  mkdirSync(join(folder, 'a'), { recursive: true });
  for (const [i, image] of images.entries()) writeFileSync(join(folder, 'a', `${i}.png`), image);
  return folder;
}

function expectCheap({ megabytes }: ReadCost): void {
  expect(megabytes).toBeLessThan(MAX_MEGABYTES);
}

function expectRead(path: string, count: number): void {
  const cost = readInChild(path);
  expect(cost).toMatchObject({ count });
  expectCheap(cost);
}

function expectRefused(path: string, message: RegExp): void {
  const cost = readInChild(path);
  expect(cost.error).toMatch(message);
  expectCheap(cost);
}

describe('a bounded reader', () => {
  it('of training images takes two of 100 million pixels, one after the other', options, async () => {
    expect(MAXIMUM_PIXELS).toBe(100_000_000);
    const image = await png(10_000, 10_000);
    expectRead(folderOf('training', new Array(2).fill(image)), 2);
  });

  it('of training images takes one that is 8388608 pixels long', options, async () => {
    expectRead(folderOf('training', [await png(8_388_608, 11)]), 1);
  });

  it('refuses larger images before it decodes them', options, () => {
    expectRefused(
      folderOf('training', [hollowPng(10_001, 10_000)]),
      /1 of the 1 images read so far are corrupt/,
    );
    for (const [width, height] of [
      [16_383, 16_383],
      [8_388_608, 12],
    ]) {
      const message = new RegExp(`is ${width} x ${height} pixels, more than the limit of 100000000`);
      expectRefused(folderOf('evaluation', [hollowPng(width, height)]), message);
    }
  });

  it('of evaluation images takes large ones in small batches', options, async () => {
    const image = await png(5000, 5000);
    expectRead(folderOf('evaluation', new Array(12).fill(image)), 12);
  });

  it('of image arrays refuses rows that are too large', options, async () => {
    const path = join(temporaryFolder(), 'images.npz');
    const header = npyHeader('uint8', [4, 12_000, 12_000, 3]);
    writeFileSync(path, await encodeZip([['arr_0.npy', header]], true));
    expectRefused(path, /an image of 'arr_0': is 12000 x 12000 pixels, more than the limit of 100000000/);
  });

  it('of gzipped IDX data takes 768 MiB, and refuses more from its header', options, () => {
    const path = join(temporaryFolder(), 'train-images-idx3-ubyte.gz');
    // Members of a gzip file follow each other: 48 of 16 MiB, the first with the header, the last without its length.
    const header = idxBytes([768 * 2 ** 10 - 1, 32, 32], new Uint8Array());
    const first = Buffer.concat([header, new Uint8Array(2 ** 24 - header.length)]);
    const members = [first, ...new Array<Uint8Array>(46).fill(new Uint8Array(2 ** 24))];
    const last = new Uint8Array(2 ** 24 - 1024 + header.length);
    const packed = new Map([...members, last].map((bytes) => [bytes, gzipSync(bytes, { level: 1 })]));
    writeFileSync(path, Buffer.concat([...members, last].map((bytes) => packed.get(bytes)!)));
    expectRead(path, 768 * 2 ** 10 - 1);
    writeFileSync(path, gzipSync(idxBytes([768 * 2 ** 10, 32, 32], new Uint8Array(2 ** 20))));
    expectRefused(path, /its 805306384 bytes are more than the limit of 805306368 for compressed data/);
  });

  it.skipIf(!hasFfmpeg)('of videos refuses frames of 16000 x 16000', options, () => {
    const path = join(temporaryFolder(), 'large.avi');
    const source = ['-f', 'lavfi', '-i', 'color=c=red:s=16000x16000:r=1:d=1'];
    execFileSync(FFMPEG, ['-v', 'error', ...source, '-frames:v', '1', '-c:v', 'mjpeg', path]);
    expectRefused(path, /large.avi: is 16000 x 16000 pixels, more than the limit of 100000000/);
  });

  it('of animations takes fewer frames at once where they are large', options, async () => {
    const path = join(temporaryFolder(), 'large.gif');
    const [side, frames] = [3000, 12];
    const strip = new Uint8Array(3 * side * side * frames);
    for (let t = 0; t < frames; t++) strip.fill(20 * t, 3 * side * side * t);
    const raw = { width: side, height: side * frames, channels: 3 as const, pageHeight: side };
    writeFileSync(path, await sharp(strip, { raw, limitInputPixels: false }).gif({ effort: 1 }).toBuffer());
    expectRead(path, 12);
  });
});
