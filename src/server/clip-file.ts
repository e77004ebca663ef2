/** @file A clip as a file. */

import { at } from '../at.ts';
import { enlarge, framesOf, type Image } from '../media/pixels.ts';
import { mp4Encoder } from '../media/video-mp4.ts';
import type { Tensor } from '../tensor/tensor.ts';

/** Frames that are smaller are enlarged to about this height: H.264 keeps half of the colour a side. */
const LEGIBLE_HEIGHT = 256;

/** An MP4 in the making, which holds its frames compressed. */
export interface ClipFile {
  /** Append frames (1, frames, C, H, W) in [-1, 1]. */
  add(frames: Tensor<'float32'>): Promise<void>;
  /** The whole file. */
  file(): Promise<Uint8Array>;
}

export function createClip(fps: number): ClipFile {
  const encoder = mp4Encoder(fps);
  return {
    async add(frames) {
      const images = at(framesOf(frames), 0);
      await encoder.add(images.map(legible));
    },
    file: async () => Buffer.concat(await encoder.file()),
  };
}

function legible(image: Image): Image {
  return enlarge(image, Math.max(1, Math.round(LEGIBLE_HEIGHT / image.height)));
}
