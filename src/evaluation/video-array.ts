/** @file Clips of the videos in an `.npz`, read video by video, as they may be larger than memory. */

import { take } from '../at.ts';
import { FormatError } from '../errors.ts';
import type { Npz } from '../formats/npz.ts';
import { requireModest } from '../media/image.ts';
import type { Tensor } from '../tensor/tensor.ts';
import { type ClipProtocol, chosenVideos, clipStarts, statedProtocol } from './clips.ts';
import { IMAGES, readHeader } from './image-array.ts';
import { batchOf, modestBatch, type SampleSource } from './sample-source.ts';

/**
 * The clips of the videos of an npz file: `arr_0` of uint8, (N, T, H, W, 3), or (N, T, H, W, 1) if they are grey.
 * @param npz is closed with the source.
 * @param name what to call it in messages.
 * @param maxPixels max pixels of all frames of a video together.
 * @throws {FormatError} if there are none, or they are of another type or layout, too short or too large.
 */
export async function openVideoArray(
  npz: Npz,
  name: string,
  protocol: ClipProtocol,
  maxPixels?: number,
): Promise<SampleSource> {
  const header = await readHeader(npz);
  requireVideos(header, `${name}: '${IMAGES}'`);
  const [count, length, height, width, channels] = take(header.shape, 5);
  // A video is read as a whole.
  requireModest(`${name}: a video of '${IMAGES}'`, { width, height: length * height }, { maxPixels });
  const chosen = new Set(chosenVideos(count, protocol));
  const { frames, clipsPerVideo } = protocol;
  clipStarts(name, length, 0, protocol); // long enough?
  const shape = [frames, height, width, channels];
  return {
    name,
    count: chosen.size * clipsPerVideo,
    shape,
    protocol: statedProtocol(protocol, chosen.size, [height, width]),
    async *batches(most) {
      const size = modestBatch(most, shape);
      const array = await npz.stream(IMAGES);
      let clips: Uint8Array[] = [];
      let video = 0;
      try {
        for await (const { data } of array.pieces(1)) {
          if (chosen.has(video)) {
            const starts = clipStarts(name, length, video, protocol);
            clips.push(...starts.map((start) => cutOut(data as Uint8Array, length, start, protocol)));
          }
          video++;
          for (; clips.length >= size || (video === count && clips.length > 0); clips = clips.slice(size)) {
            yield batchOf(shape, clips.slice(0, size));
          }
        }
      } finally {
        await array.close();
      }
    },
    close: () => npz.close(),
  };
}

/** Frames of a video (T, H, W, C) that are a clip. */
function cutOut(
  video: Uint8Array,
  length: number,
  start: number,
  { frames, stride }: ClipProtocol,
): Uint8Array {
  const frameSize = video.length / length;
  const clip = new Uint8Array(frames * frameSize);
  for (let t = 0; t < frames; t++) {
    const from = (start + t * stride) * frameSize;
    clip.set(video.subarray(from, from + frameSize), t * frameSize);
  }
  return clip;
}

function requireVideos({ dtype, shape }: Pick<Tensor, 'dtype' | 'shape'>, where: string): void {
  if (dtype !== 'uint8') throw new FormatError(`${where} must be videos of uint8, 0 to 255, got ${dtype}`);
  const channels = shape[4];
  if (shape.length === 5 && (channels === 1 || channels === 3) && !shape.includes(0)) return;
  const isChannelsFirst = shape.length === 5 && (shape[1] === 3 || shape[2] === 3);
  throw new FormatError(
    `${where} must be videos of shape [N, T, H, W, 3], got [${shape}]` +
      (isChannelsFirst ? '; the channels must be the last axis (numpy.moveaxis)' : ''),
  );
}
