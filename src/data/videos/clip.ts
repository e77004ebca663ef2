/** @file A clip cut out of a video: evenly spaced frames from some point on, brought to a square. */

import { FormatError } from '../../errors.ts';
import { type Channels, type Image, samplesFromImage, withChannels } from '../../media/image.ts';
import { shortSideCrop } from '../../media/resize.ts';
import type { ReadFramesOptions } from '../../media/video-ffmpeg.ts';
import { probeVideo, readFrames } from '../../media/video-reader.ts';

/** What clips are like. */
export interface ClipFormat {
  readonly frames: number;
  /** Frame stride within the video. */
  readonly interval: number;
  /** Side of the square in pixels. */
  readonly size: number;
  readonly channels: Channels;
}

/** Which clip of which video. */
export interface ClipRequest extends ClipFormat {
  readonly path: string;
  /** Where the clip begins, from 0, as early as possible, to below 1, as late as possible. */
  readonly place: number;
  /** Frames of the video, if they were counted before. */
  readonly length?: number | undefined;
  /** Max pixels of a frame. */
  readonly maxPixels?: number | undefined;
}

/** A decoded clip. */
export interface Clip {
  /** Pixels (frames, H, W, C), as in images. */
  readonly data: Uint8Array;
  /** Frames of the video. */
  readonly length: number;
}

/** Frames of the video from the first to the last of a clip. */
export function clipSpan({ frames, interval }: Pick<ClipFormat, 'frames' | 'interval'>): number {
  return (frames - 1) * interval + 1;
}

/** What is wrong with a video that no clip fits into. */
export function tooShort(length: number, clip: Pick<ClipFormat, 'frames' | 'interval'>): Error {
  const { frames, interval } = clip;
  return new Error(
    `has ${length} frames, and a clip of ${frames} frames at an interval of ${interval} takes ${clipSpan(clip)}`,
  );
}

/** The first frame of a clip of `span` in a video of `length` frames. */
export function clipStart(length: number, span: number, place: number): number {
  return Math.floor(place * (length - span + 1));
}

type FrameFormat = Pick<ClipFormat, 'size' | 'channels'>;

/** The middle square of a frame, its short side brought to size by bilinear filtering. */
export function cropFrame(image: Image, { size, channels }: FrameFormat): Image {
  return shortSideCrop(withChannels(image, channels), size);
}

/** The pixels of a clip as values (frames, C, H, W) in [-1, 1]. */
export function clipValues(data: Uint8Array, { size, channels }: FrameFormat): Float32Array {
  const values = new Float32Array(data.length);
  const frameSize = channels * size ** 2;
  for (let at = 0; at < data.length; at += frameSize) {
    const frame = { width: size, height: size, channels, data: data.subarray(at, at + frameSize) };
    values.set(samplesFromImage(frame), at);
  }
  return values;
}

/**
 * Read a clip. Only the frames up to its last one are decoded, once the video's length is known.
 * @throws {FormatError} if the video is damaged, or shorter than the clip.
 * @throws {VideoDecoderError} if there is no decoder on this machine.
 */
export async function readClip(request: ClipRequest, signal?: AbortSignal): Promise<Clip> {
  const { path } = request;
  const length = request.length ?? (await lengthOf(request, signal));
  const { clip, seen } = await cutOut(request, length, signal);
  if (clip) return { data: clip, length };
  // The header says more than there is.
  const { clip: second } = await cutOut(request, seen, signal);
  if (second) return { data: second, length: seen };
  throw new FormatError(`${path}: has another number of frames each time it is read`);
}

/** The clip, or how many frames there are if they are fewer than `length` says. */
async function cutOut(
  request: ClipRequest,
  length: number,
  signal: AbortSignal | undefined,
): Promise<{ clip?: Uint8Array; seen: number }> {
  const { path, frames, interval, size, channels, maxPixels } = request;
  const span = clipSpan(request);
  if (length < span) throw new FormatError(`${path}: ${tooShort(length, request).message}`);
  const start = clipStart(length, span, request.place);
  const frameSize = channels * size ** 2;
  const clip = new Uint8Array(frames * frameSize);
  let seen = 0;
  for await (const image of videoFrames(path, { signal, maxPixels })) {
    const at = seen++ - start;
    if (at < 0 || at % interval !== 0) continue;
    clip.set(cropFrame(image, request).data, (at / interval) * frameSize);
    if (at === span - 1) return { clip, seen };
  }
  return { seen };
}

/** The frames of a video, as its header says or else counted. */
async function lengthOf({ path, maxPixels }: ClipRequest, signal: AbortSignal | undefined): Promise<number> {
  const { frames } = await probeVideo(path, { signal }).catch((error) => {
    throw named(path, error);
  });
  return frames ?? countFrames(path, { signal, maxPixels });
}

/** The frames of a video, each of which is decoded. */
export async function countFrames(path: string, options: ReadFramesOptions): Promise<number> {
  let count = 0;
  for await (const _ of videoFrames(path, options)) count++;
  return count;
}

/** All frames of a video. @throws {FormatError} also if it is missing, or may not be read. */
export async function* videoFrames(
  path: string,
  options: ReadFramesOptions = {},
): AsyncGenerator<Image, void, void> {
  try {
    yield* readFrames(path, options);
  } catch (error) {
    throw named(path, error);
  }
}

/** The system's errors as errors of the file. */
function named(path: string, error: unknown): unknown {
  const { code, syscall } = error as NodeJS.ErrnoException;
  if (syscall === undefined) return error;
  return new FormatError(`${path}: cannot be read (${code})`, { cause: error });
}
