/**
 * @file Frames of videos: files that ffmpeg decodes, animated GIF and WebP, single images, and folders of images
 * (Node only).
 */

import { readdir, stat } from 'node:fs/promises';
import { extname, join } from 'node:path';
import { FormatError } from '../errors.ts';
import { type Image, loadSharp, readImage } from './image.ts';

/** What a video is, as far as its header tells. */
export interface VideoInfo {
  readonly width: number;
  readonly height: number;
  /** Frames a second; undefined for folders and single images. */
  readonly fps: number | undefined;
  /** Frames in it, where the file says. */
  readonly frames: number | undefined;
}

/** How frames are read. */
export interface ReadFramesOptions {
  /** Stops reading, and the decoder with it. */
  readonly signal?: AbortSignal;
}

/** Extensions of files that sharp reads. */
const IMAGE_EXTENSIONS = new Set(['.png', '.jpg', '.jpeg', '.webp', '.gif', '.tif', '.tiff', '.avif']);

export async function probeVideo(path: string, options: ReadFramesOptions = {}): Promise<VideoInfo> {
  options.signal?.throwIfAborted();
  const { width, height } = await firstOf(readFrames(path, options), path);
  return { width, height, fps: undefined, frames: undefined };
}

/** The frames of a video in RGB or grey, one after the other. */
export async function* readFrames(path: string, options: ReadFramesOptions = {}): AsyncGenerator<Image> {
  const { signal } = options;
  if ((await stat(path)).isDirectory()) {
    const names = (await readdir(path)).filter((name) => isImage(name)).sort();
    for (const name of names) {
      signal?.throwIfAborted();
      yield await readImage(join(path, name));
    }
    return;
  }
  const sharp = await loadSharp();
  const { pages = 1 } = await sharp(path).metadata();
  for (let page = 0; page < pages; page++) {
    signal?.throwIfAborted();
    const { data, info } = await sharp(path, { page })
      .removeAlpha()
      .toColourspace('srgb')
      .raw()
      .toBuffer({ resolveWithObject: true });
    yield { width: info.width, height: info.height, channels: 3, data };
  }
}

function isImage(name: string): boolean {
  return IMAGE_EXTENSIONS.has(extname(name).toLowerCase());
}

async function firstOf(frames: AsyncGenerator<Image>, path: string): Promise<Image> {
  for await (const frame of frames) return frame;
  throw new FormatError(`${path}: there are no frames in it`);
}
