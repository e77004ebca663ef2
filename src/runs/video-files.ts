/** @file Videos being written: a file per sample, which grows frame by frame. */

import { at } from '../at.ts';
import type { Image } from '../media/image.ts';
import { framesOf } from '../media/pixels.ts';
import { openVideoWriter, type VideoFormat, type VideoWriter } from '../media/video-writer.ts';
import type { Tensor } from '../tensor/tensor.ts';

/** How videos are written. */
export interface VideoSettings {
  readonly format: VideoFormat;
  /** Frames per second. */
  readonly fps: number;
}

/** Default frames per second, as in the official script. */
export const DEFAULT_FPS = 4;
/** Videos whose frames are smaller are enlarged to about this height. */
const LEGIBLE_HEIGHT = 256;
/** Max frames that are kept of a video. */
const FIRST_FRAMES = 16;

/** A video that is being written. */
interface GrowingVideo {
  readonly path: string;
  /** At most 16, kept for the grid. */
  readonly firstFrames: Image[];
  writer?: VideoWriter;
}

/** Begins a batch of videos. @param stems of the files, without the ending. */
export function openVideoFiles(stems: readonly string[], { format, fps }: VideoSettings) {
  const ending = format === 'png' ? '' : `.${format}`;
  const videos = stems.map((stem): GrowingVideo => ({ path: `${stem}${ending}`, firstFrames: [] }));
  async function append(video: GrowingVideo, images: readonly Image[]): Promise<void> {
    const { width, height } = at(images, 0);
    const scale = format === 'png' ? 1 : Math.max(1, Math.round(LEGIBLE_HEIGHT / height));
    video.writer ??= await openVideoWriter(video.path, { width, height, fps, format, scale });
    await video.writer.add(images);
    video.firstFrames.push(...images.slice(0, FIRST_FRAMES - video.firstFrames.length));
  }
  return {
    /** Adds frames (N, frames, C, H, W) in [-1, 1] to the videos. */
    async add(frames: Tensor<'float32'>): Promise<void> {
      const images = framesOf(frames);
      for (const [sample, video] of videos.entries()) await append(video, at(images, sample));
    },
    /** Completes the files; returns those that have a frame. */
    async finish(): Promise<readonly GrowingVideo[]> {
      const begun = videos.filter(({ writer }) => writer);
      for (const { writer } of begun) await writer?.finish();
      return begun;
    },
  };
}
