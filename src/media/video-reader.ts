/**
 * @file Frames of videos: files that ffmpeg decodes, animated GIF and WebP and single images that sharp does, and
 * folders of images (Node only).
 */

import { readdir, readFile, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { at } from '../at.ts';
import { FormatError } from '../errors.ts';
import { formatOf, IMAGE_EXTENSIONS, isImageExtension, usualExtension } from './file-formats.ts';
import { type Image, MAXIMUM_PIXELS, openImage, readable, readImage, requireModest } from './image.ts';
import { decodeFrames, probeStream, type ReadFramesOptions, type VideoInfo } from './video-ffmpeg.ts';

/** Formats that may be animations. */
const ANIMATIONS: ReadonlySet<string | undefined> = new Set(['.gif', '.webp']);

/** Frames of an animation that are decoded at once: few for memory, and not one, since each time starts from frame 0. */
const ANIMATION_FRAMES = 16;

/**
 * Size, rate and length of a video, an animation, an image or a folder of images, from its header.
 * @throws what {@link readFrames} throws.
 */
export async function probeVideo(path: string, options: ReadFramesOptions = {}): Promise<VideoInfo> {
  const { signal } = options;
  signal?.throwIfAborted();
  const kind = await kindOf(path);
  if (kind === 'video') {
    const { width, height, fps, frames } = await probeStream(path, signal);
    return { width, height, fps, frames };
  }
  if (kind === 'image') return await imageInfo(path, options);
  const names = await imagesIn(path);
  return { ...(await imageInfo(join(path, at(names, 0)), options)), fps: undefined, frames: names.length };
}

/**
 * The frames of a video, one after the other, all of one size: in RGB, or as {@link readImage} gives them for single
 * images and for folders, which are read in the order of their names (`frame-2.png` before `frame-10.png`). A file
 * is decoded while frames are asked for; leave the loop and decoding stops.
 *
 * Animated GIF and WebP, images and folders of them need nothing installed. Everything else (MP4, MOV, WebM, Matroska,
 * AVI, ...) is decoded by ffmpeg, each coded frame once, of the size it is stored in: by `ffmpeg` and `ffprobe` of the
 * search path, or what the environment variables FFMPEG_PATH and FFPROBE_PATH name.
 *
 * @throws {FormatError} if it holds no video that can be decoded, or frames of different sizes; if it is damaged or
 * cut short, after the frames before that.
 * @throws {VideoDecoderError} if ffmpeg is needed and not there.
 */
export async function* readFrames(path: string, options: ReadFramesOptions = {}): AsyncGenerator<Image> {
  const { signal } = options;
  signal?.throwIfAborted();
  const kind = await kindOf(path);
  const read = { video: decodeFrames, image: animationFrames, folder: folderFrames }[kind];
  let first: Image | undefined;
  let index = 0;
  for await (const frame of read(path, options)) {
    first ??= frame;
    if (frame.width !== first.width || frame.height !== first.height) {
      throw new FormatError(
        `${path}: frame ${index} is ${frame.width}x${frame.height}, the first is ${first.width}x${first.height}; ` +
          'all must be of one size',
      );
    }
    yield frame;
    index++;
    signal?.throwIfAborted();
  }
}

async function kindOf(path: string): Promise<'video' | 'image' | 'folder'> {
  const found = await stat(path);
  if (found.isDirectory()) return 'folder';
  if (!found.isFile()) throw new FormatError(`${path}: expected a video file or a folder, it is neither`);
  if (found.size === 0) throw new FormatError(`${path}: the file is empty`);
  return isImageExtension(await usualExtension(path)) ? 'image' : 'video';
}

/**
 * Lists a folder's images, in the order of the numbers in their names.
 * @throws {FormatError} if there are none, or one has an unsupported format, since a frame would be missing.
 */
async function imagesIn(folder: string): Promise<string[]> {
  const names: string[] = [];
  for (const entry of await readdir(folder, { withFileTypes: true })) {
    if (entry.name.startsWith('.') || entry.isDirectory()) continue;
    const extension = await usualExtension(join(folder, entry.name));
    if (IMAGE_EXTENSIONS.has(extension)) names.push(entry.name);
    else if (isImageExtension(extension)) {
      throw new FormatError(
        `${join(folder, entry.name)}: frames in ${extension.slice(1)} are not read; convert them to PNG`,
      );
    }
  }
  if (names.length === 0) throw new FormatError(`${folder}: there are no images in this folder`);
  return names.sort(new Intl.Collator('en', { numeric: true }).compare);
}

async function* folderFrames(folder: string, options: ReadFramesOptions): AsyncGenerator<Image> {
  for (const name of await imagesIn(folder)) yield await readImage(join(folder, name), options);
}

async function imageInfo(path: string, options: ReadFramesOptions): Promise<VideoInfo> {
  const animation = await animationInfo(path, await readFile(path));
  if (animation) return animation;
  const { width, height } = await openImage(path, options);
  return { width, height, fps: undefined, frames: 1 };
}

/** Describes an animation; `undefined` if there is one frame. */
async function animationInfo(path: string, bytes: Uint8Array) {
  if (!ANIMATIONS.has(formatOf(bytes))) return undefined;
  const { default: sharp } = await import('sharp');
  const metadata = await readable(path, 'image or animation', () => sharp(bytes).metadata());
  const { pages: frames = 1, delay = [], width, height, pageHeight = height } = metadata;
  if (frames === 1) return undefined;
  const milliseconds = delay.reduce((sum, time) => sum + time, 0);
  const fps = milliseconds > 0 ? (1000 * frames) / milliseconds : undefined;
  return { width, height: pageHeight, fps, frames };
}

/** The frames of an animation, or the one of an image. */
async function* animationFrames(path: string, options: ReadFramesOptions): AsyncGenerator<Image> {
  const bytes = await readFile(path); // sharp, given a path, may show what it remembers of an earlier file there
  const animation = await animationInfo(path, bytes);
  if (!animation) {
    yield await readImage(path, options);
    return;
  }
  const { frames, width, height } = animation;
  requireModest(path, animation, options);
  const { default: sharp } = await import('sharp');
  const size = 3 * width * height;
  const { maxPixels = MAXIMUM_PIXELS } = options;
  const atOnce = Math.max(1, Math.min(ANIMATION_FRAMES, Math.floor(maxPixels / (width * height))));
  for (let page = 0; page < frames; page += atOnce) {
    const pages = Math.min(atOnce, frames - page);
    // The frames come one below the other.
    const strip = await readable(path, 'image or animation', () =>
      sharp(bytes, { page, pages, failOn: 'error', ignoreIcc: true, limitInputPixels: false })
        .removeAlpha()
        .toColourspace('srgb')
        .raw({ depth: 'uchar' })
        .toBuffer(),
    );
    for (let i = 0; i < pages; i++) {
      yield { width, height, channels: 3, data: new Uint8Array(strip.subarray(i * size, (i + 1) * size)) };
    }
  }
}
