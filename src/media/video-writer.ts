/**
 * @file Videos as files: MP4, animated WebP, animated GIF, or a folder of PNG frames. Frames may come block by block;
 * after each of them the file is a whole video of the frames so far (Node only).
 */

import { readdir, rm } from 'node:fs/promises';
import { extname, join } from 'node:path';
import { ArgumentError } from '../errors.ts';
import { makeFolder, writeFileAtomically } from '../io/atomic-write.ts';
import { joinArrays } from '../tensor/axes.ts';
import { encodePng, enlarge, type Image } from './image.ts';
import { gifEncoder, webpEncoder } from './video-animation.ts';
import type { VideoEncoder } from './video-h264.ts';
import { mp4Encoder } from './video-mp4.ts';

/** Kinds of video files; `png` is a folder of frames. */
export const VIDEO_FORMATS = ['mp4', 'webp', 'gif', 'png'] as const;
/** One of {@link VIDEO_FORMATS}. */
export type VideoFormat = (typeof VIDEO_FORMATS)[number];

/** The properties of a video. */
export interface VideoOptions {
  /** Size of the frames that are added, in pixels. */
  readonly width: number;
  readonly height: number;
  /** Frames per second. */
  readonly fps: number;
  /** Default: the format of the path's extension; a path without one is a folder of PNG frames. */
  readonly format?: VideoFormat;
  /** Makes every pixel a square of `scale` x `scale`; an integer (default: 1). */
  readonly scale?: number;
}

/** A video being written. Calls must not overlap: await each before the next. */
export interface VideoWriter {
  readonly format: VideoFormat;
  /** Appends frames; then the file holds all frames so far. If it fails, the file is as before: write no more. */
  add(frames: readonly Image[]): Promise<void>;
  /** Closes the video. */
  finish(): Promise<void>;
}

/**
 * Starts a video. Nothing is written, and an existing file stays, until the first frames are added. The file is then
 * replaced as a whole each time, by renaming: a kill or a full disk at any moment leaves a playable video. Of the
 * frames only their compressed form is kept in memory.
 *
 * MP4 is H.264 that browsers and QuickTime play (baseline profile, yuv420p, index in front), compressed with little
 * loss. It has half as many values of colour per side, so small colourful images look better enlarged (`scale`), and
 * sizes are even: an odd last row or column is repeated. WebP is without loss up to 128 x 128 pixels and of quality 90
 * above. GIF has 256 colours per frame and at most 50 frames per second. PNG frames are without loss, and grey if they
 * were.
 *
 * @param path its folder must exist. Frames of a PNG folder are `frames-0001.png` and so on; frames of an earlier video
 * in that folder are removed.
 * @throws {ArgumentError} if an option is out of range, or a frame is of another size.
 * @throws {AcditError} if the file cannot be written: disk full, no such folder, no permission.
 */
export async function openVideoWriter(path: string, options: VideoOptions): Promise<VideoWriter> {
  const format = options.format ?? videoFormat(path);
  checkOptions(path, format, options);
  const { scale = 1 } = options;
  const addToFile = format === 'png' ? folderSink(path) : fileSink(path, openEncoder(format, options));
  let count = 0;
  return {
    format,
    async add(frames) {
      for (const [i, frame] of frames.entries()) checkFrame(path, frame, count + i, options);
      if (frames.length > 0) await addToFile(frames.map((frame) => enlarge(frame, scale)));
      count += frames.length;
    },
    async finish() {
      if (count === 0) throw new ArgumentError(`${path}: a video needs at least one frame, none was added`);
    },
  };
}

/**
 * Returns the bytes of a whole video, compressed as {@link openVideoWriter} does.
 * @throws {ArgumentError} if an option is out of range, or a frame is of another size.
 */
export async function encodeVideo(
  frames: readonly Image[],
  format: Exclude<VideoFormat, 'png'>,
  options: Omit<VideoOptions, 'format'>,
): Promise<Uint8Array<ArrayBuffer>> {
  checkOptions('video', format, options);
  for (const [i, frame] of frames.entries()) checkFrame('video', frame, i, options);
  const encoder = openEncoder(format, options);
  await encoder.add(frames.map((frame) => enlarge(frame, options.scale ?? 1)));
  return joinArrays('uint8', await encoder.file()) as Uint8Array<ArrayBuffer>;
}

/**
 * The format that a path's extension names.
 * @throws {ArgumentError} if it names none.
 */
export function videoFormat(path: string): VideoFormat {
  const extension = extname(path).slice(1).toLowerCase();
  if (extension === '') return 'png';
  const format = VIDEO_FORMATS.find((name) => name === extension && name !== 'png');
  if (format !== undefined) return format;
  throw new ArgumentError(
    `${path}: no video can be written as .${extension}; use .mp4, .webp, .gif, or a folder's name for PNG frames`,
  );
}

/** Appends frames to what was written. */
type Sink = (frames: readonly Image[]) => Promise<void>;

function fileSink(path: string, encoder: VideoEncoder): Sink {
  return async (frames) => {
    await encoder.add(frames);
    const file = await encoder.file();
    await writeFileAtomically(path, async (write) => {
      for (const bytes of file) await write(bytes);
    });
  };
}

function openEncoder(format: Exclude<VideoFormat, 'png'>, options: VideoOptions): VideoEncoder {
  const { width, height, fps, scale = 1 } = options;
  if (format === 'mp4') return mp4Encoder(fps);
  return (format === 'webp' ? webpEncoder : gifEncoder)(width * scale, height * scale, fps);
}

/** Names of the frames in a folder. */
export const FRAME_NAME = /^frames-\d{4,}\.png$/;

function folderSink(path: string): Sink {
  let count = 0;
  return async (frames) => {
    await makeFolder(path);
    const earlier = count === 0 ? (await readdir(path)).filter((name) => FRAME_NAME.test(name)) : [];
    for (const name of earlier) await rm(join(path, name), { force: true });
    for (const frame of frames) {
      const name = `frames-${String(++count).padStart(4, '0')}.png`;
      const bytes = await encodePng(frame);
      await writeFileAtomically(join(path, name), (write) => write(bytes));
    }
  };
}

/** Limits of the formats, in pixels per side and frames per second. */
const LIMITS: Record<VideoFormat, { readonly side: number; readonly fps: number }> = {
  mp4: { side: 4096, fps: 240 },
  webp: { side: 16383, fps: 1000 },
  gif: { side: 65535, fps: 50 },
  png: { side: 65535, fps: Number.POSITIVE_INFINITY },
};

function checkOptions(path: string, format: VideoFormat, options: VideoOptions): void {
  const { width, height, fps, scale = 1 } = options;
  const limits = LIMITS[format];
  const isSide = (side: number) => Number.isInteger(side) && side >= 1 && side * scale <= limits.side;
  if (!Number.isInteger(scale) || scale < 1) {
    throw new ArgumentError(`${path}: scale must be a whole number from 1 on, got ${scale}`);
  }
  if (!isSide(width) || !isSide(height)) {
    throw new ArgumentError(
      `${path}: frames of ${format} are from 1x1 to ${limits.side}x${limits.side} pixels, ` +
        `got ${width}x${height}${scale > 1 ? ` times ${scale}` : ''}`,
    );
  }
  if (!(fps > 0 && fps <= limits.fps)) {
    throw new ArgumentError(`${path}: fps of ${format} is above 0 and at most ${limits.fps}, got ${fps}`);
  }
}

function checkFrame(path: string, frame: Image, index: number, { width, height }: VideoOptions): void {
  if (frame.width === width && frame.height === height) return;
  throw new ArgumentError(
    `${path}: frame ${index} is ${frame.width}x${frame.height}, the video is ${width}x${height}`,
  );
}
