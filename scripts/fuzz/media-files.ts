/** @file Readers of images, animations and videos. */

import { readFile, writeFile } from 'node:fs/promises';
import { extname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import sharp from 'sharp';
import { readClip } from '../../src/data/videos/clip.ts';
import { checksum } from '../../src/formats/zip-writer.ts';
import { readImage } from '../../src/media/image.ts';
import { hasFfmpeg } from '../../test/support/ffmpeg.ts';
import { damagedBytes } from './damage.ts';
import { fileTarget, type Sample, type Target } from './target.ts';

const folderOf = (name: string): string =>
  fileURLToPath(new URL(`../../test/fixtures/${name}`, import.meta.url));

/** Files of each format. */
const IMAGES: Readonly<Record<string, readonly string[]>> = {
  PNG: ['bits.png', 'grey16.png', 'palette-alpha.png', 'rgb.png', 'rgba16.png', 'sideways.png'],
  JPEG: ['cmyk.jpg', 'grey.jpg', 'profile.jpg', 'progressive.jpg', 'rgb.jpg', 'sideways.jpg'],
  BMP: ['555.bmp', 'bits.bmp', 'grey.bmp', 'rgba.bmp', 'rle4.bmp', 'rle8.bmp', 'top-down.bmp'],
  PNM: ['bits.pbm', 'deep.ppm', 'few.pgm', 'rgb.ppm', 'text.pbm', 'text.pgm', 'text.ppm'],
  TIFF: ['bits.tif', 'cmyk.tif', 'jpeg.tif', 'lzw.tif', 'palette.tif', 'sideways.tif'],
  'GIF, WebP, AVIF': ['rgb.gif', 'profile.webp', 'rgba.webp', 'rgb.avif'],
};

/** Max pixels of the cases' images, so that a missing limit shows in memory. */
const MAX_PIXELS = 10_000_000;

/** A PNG, also with damage inside its chunks and correct checksums. */
function pngSample(bytes: Uint8Array): Sample {
  return {
    bytes,
    inside(random) {
      const view = Buffer.from(bytes);
      const parts: Uint8Array[] = [view.subarray(0, 8)];
      const starts: number[] = [];
      for (let at = 8; at < view.length; at += 12 + view.readUInt32BE(at)) starts.push(at);
      const changed = random.pick(starts);
      for (const at of starts) {
        const end = at + 8 + view.readUInt32BE(at);
        const data = view.subarray(at + 8, end);
        parts.push(
          pngChunk(view.subarray(at + 4, at + 8), at === changed ? damagedBytes(data, random) : data),
        );
      }
      return new Uint8Array(Buffer.concat(parts));
    },
  };
}

function pngChunk(type: Uint8Array, data: Uint8Array): Uint8Array {
  const out = Buffer.alloc(12 + data.length);
  out.writeUInt32BE(data.length);
  out.set(type, 4);
  out.set(data, 8);
  out.writeUInt32BE(checksum(out.subarray(4, 8 + data.length)), 8 + data.length);
  return out;
}

async function imageTargets(): Promise<Target[]> {
  const folder = folderOf('images');
  return Promise.all(
    Object.entries(IMAGES).map(async ([format, names]) => {
      const files = await Promise.all(
        names.map(async (name) => new Uint8Array(await readFile(join(folder, name)))),
      );
      return fileTarget({
        name: format,
        samples: files.map((bytes) => (format === 'PNG' ? pngSample(bytes) : { bytes })),
        checksummed: format === 'PNG',
        async read(bytes) {
          const { data, width, height } = await readImage(bytes, { maxPixels: MAX_PIXELS });
          return [[width, height, Buffer.from(data).toString('base64')]];
        },
      });
    }),
  );
}

/** An animation of four frames of 8 x 8 pixels. */
async function animation(format: 'gif' | 'webp'): Promise<Uint8Array> {
  const raw = { width: 8, height: 8, channels: 3 as const };
  const frames = [0, 80, 160, 240].map((grey) => sharp(Buffer.alloc(192, grey), { raw }).png().toBuffer());
  return new Uint8Array(
    await sharp(await Promise.all(frames), { join: { animated: true } })
      [format]()
      .toBuffer(),
  );
}

/** Clips of damaged files in a folder. @param format extension of the files */
function clipTarget(folder: string, name: string, files: readonly (readonly [string, Uint8Array])[]): Target {
  const samples = files.map(([ending, bytes]) => ({ bytes, path: join(folder, `clip.${ending}`) }));
  return fileTarget({
    name,
    samples,
    async read(bytes, sample) {
      const { path } = samples.find((one) => one === sample)!;
      await writeFile(path, bytes);
      await readClip({
        path,
        frames: 2,
        interval: 1,
        size: 4,
        channels: 3,
        place: 0.5,
        maxPixels: MAX_PIXELS,
      });
      return undefined;
    },
  });
}

/** Returns the targets of all readers of images and videos; those that need ffmpeg only if it is installed. */
export async function mediaTargets(folder: string): Promise<Target[]> {
  const animations = [
    ['gif', await animation('gif')],
    ['webp', await animation('webp')],
  ] as const;
  const targets = [...(await imageTargets()), clipTarget(folder, 'animation', animations)];
  if (!hasFfmpeg) return targets;
  const videos = ['h264.mp4', 'vp9.webm', 'xvid.avi', 'mjpeg.mov'].map(
    async (file) =>
      [extname(file).slice(1), new Uint8Array(await readFile(join(folderOf('video'), file)))] as const,
  );
  return [...targets, clipTarget(folder, 'video', await Promise.all(videos))];
}
