/** @file Clips being written: a video file a sample, which grows frame by frame. */

import { join } from 'node:path';
import { framesOf } from '../media/frames.ts';
import type { Image } from '../media/image.ts';
import { openVideoWriter, type VideoFormat, type VideoWriter } from '../media/video-writer.ts';
import type { Tensor } from '../tensor/tensor.ts';
import { fileStem, strip } from './image-grid.ts';

/** How clips are written. */
export interface ClipSettings {
  readonly format: VideoFormat;
  /** Frames a second. */
  readonly fps: number;
}

/** Frames a second, as in the official script. */
export const DEFAULT_FPS = 4;
/** Clips whose frames are smaller are enlarged to about this height. */
const LEGIBLE_HEIGHT = 256;
/** A strip shows at most so many frames. */
const STRIP_FRAMES = 16;

/** A batch's clips. */
export interface ClipBatch {
  /** Paths of the clips that have a frame. */
  readonly files: readonly string[];
  /** Add frames (N, frames, C, H, W) in [-1, 1], one clip's after the other's. */
  add(frames: Tensor<'float32'>): Promise<void>;
  finish(): Promise<void>;
  /** The first frames of each clip, side by side. */
  strips(): Image[];
}

/** @param names of the samples, the first of which is number `first`. */
export function openClips(
  folder: string,
  first: number,
  names: readonly string[],
  { format, fps }: ClipSettings,
): ClipBatch {
  const files: string[] = [];
  const writers: VideoWriter[] = [];
  const shown: Image[][] = names.map(() => []);
  const extension = format === 'png' ? '' : `.${format}`;
  const writerOf = async (sample: number, { width, height }: Image): Promise<VideoWriter> => {
    if (writers[sample]) return writers[sample];
    const path = join(folder, `${fileStem(first + sample, names[sample])}${extension}`);
    const scale = format === 'png' ? 1 : Math.max(1, Math.round(LEGIBLE_HEIGHT / height));
    writers[sample] = await openVideoWriter(path, { width, height, fps, format, scale });
    files.push(path);
    return writers[sample];
  };
  return {
    files,
    async add(frames) {
      for (const [sample, images] of framesOf(frames).entries()) {
        await (await writerOf(sample, images[0])).add(images);
        shown[sample].push(...images.slice(0, Math.max(0, STRIP_FRAMES - shown[sample].length)));
      }
    },
    async finish() {
      for (const writer of writers) await writer.finish();
    },
    strips: () => shown.filter((images) => images.length > 0).map(strip),
  };
}
