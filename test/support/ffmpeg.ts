/** @file ffmpeg, where it is installed, and what tests of videos share. */

import { spawnSync } from 'node:child_process';
import { blankImage, type Image, paste, withChannels } from '../../src/media/image.ts';
import { readFrames } from '../../src/media/video-reader.ts';

/** Whether videos can be decoded here. */
export const hasFfmpeg = ['ffmpeg', 'ffprobe'].every(
  (name) => spawnSync(process.env[`${name.toUpperCase()}_PATH`] || name, ['-version']).status === 0,
);
if (!hasFfmpeg) console.warn('SKIPPED: no ffmpeg here (Debian: apt-get install ffmpeg)');

/** All frames of a video. */
export async function framesOf(path: string): Promise<Image[]> {
  const frames: Image[] = [];
  for await (const frame of readFrames(path)) frames.push(frame);
  return frames;
}

/** A clip of a square that moves to the right, on a darker ground with a gradient. */
export function movingSquare(count: number, size: number, channels: 1 | 3): Image[] {
  return Array.from({ length: count }, (_, t) => {
    const image = blankImage(size, size, channels);
    image.data.forEach((_, i) => {
      image.data[i] = Math.floor(((i / channels) % size) * (100 / size)) + 20 * (i % channels);
    });
    const side = Math.floor(size / 4);
    paste(image, blankImage(side, side, channels, 230), (2 * t) % (size - side), side);
    return image;
  });
}

/** Peak signal-to-noise ratio in decibels; infinite for equal images. */
export function psnr(a: Image, b: Image): number {
  const [x, y] = [withChannels(a, 3).data, withChannels(b, 3).data];
  if (a.width !== b.width || x.length !== y.length) throw new Error('images of different sizes');
  const sum = x.reduce((total, value, i) => total + (value - y[i]!) ** 2, 0);
  return 10 * Math.log10((255 ** 2 * x.length) / sum);
}
