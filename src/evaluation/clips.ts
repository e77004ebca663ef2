/** @file Which clips of which videos are compared: a Fréchet Video Distance depends much on it, so it is always stated. */

import { float32At } from '../at.ts';
import { FormatError } from '../errors.ts';
import { Generator } from '../tensor/generator.ts';
import type { Protocol } from './evaluation-set.ts';

export const CLIP_PLACES = ['even', 'random'] as const;

/** Which clips of videos are compared. */
export interface ClipProtocol {
  /** Frames of a clip. */
  readonly frames: number;
  /** Frame stride within the video. */
  readonly stride: number;
  readonly clipsPerVideo: number;
  /** `even`: the first clip at the beginning of the video, the last at its end. `random`: anywhere. */
  readonly places: (typeof CLIP_PLACES)[number];
  /** Max videos, chosen at random from all. */
  readonly videos?: number | undefined;
  /** Seed of the random choices. */
  readonly seed: number;
}

/** The first 16 frames of every video. */
export const CLIP_PROTOCOL: ClipProtocol = {
  frames: 16,
  stride: 1,
  clipsPerVideo: 1,
  places: 'even',
  seed: 0,
};

/** Frames of the video from the first to the last of a clip. */
export function clipSpan({ frames, stride }: ClipProtocol): number {
  return (frames - 1) * stride + 1;
}

/** Numbers of the videos that are taken from `count`, in order. */
export function chosenVideos(count: number, { videos, seed }: ClipProtocol): number[] {
  const all = Array.from({ length: count }, (_, video) => video);
  if (videos === undefined || videos >= count) return all;
  const order = Generator.seeded(seed).randperm(count);
  return Array.from(order.subarray(0, videos)).sort((a, b) => a - b);
}

/** Whether only the first frames of each video are taken, so that its length is not needed. */
export function takesBeginnings({ clipsPerVideo, places }: ClipProtocol): boolean {
  return clipsPerVideo === 1 && places === 'even';
}

/** The first frames of a video's clips. @throws {FormatError} if a clip is longer than the video. */
export function clipStarts(name: string, length: number, video: number, protocol: ClipProtocol): number[] {
  const { clipsPerVideo: count, places, seed } = protocol;
  const last = length - clipSpan(protocol);
  if (last < 0) throw tooShort(name, length, protocol);
  const random = places === 'random' ? Generator.seeded(seed, video).rand(count) : undefined;
  return Array.from({ length: count }, (_, i) =>
    random ? Math.floor(float32At(random, i) * (last + 1)) : Math.round((i * last) / Math.max(count - 1, 1)),
  );
}

export function tooShort(name: string, length: number, protocol: ClipProtocol): FormatError {
  const { frames, stride } = protocol;
  const interval = stride === 1 ? '' : ` at a stride of ${stride}`;
  return new FormatError(
    `${name}: has ${length} frames, but a clip of ${frames} frames${interval} takes ${clipSpan(protocol)}; ` +
      'remove the video, or take shorter clips',
  );
}

/** What the output states of clips of `videos` videos, whose frames are `height` x `width` pixels. */
export function statedProtocol(
  protocol: ClipProtocol,
  videos: number,
  [height, width]: readonly number[],
): Protocol {
  const { frames, stride, clipsPerVideo, places, seed } = protocol;
  const isRandom = places === 'random' || protocol.videos !== undefined;
  return {
    videos,
    frameSize: `${height}x${width}`,
    framesPerClip: frames,
    frameStride: stride,
    clipsPerVideo,
    clipPlaces: takesBeginnings(protocol) ? 'beginnings' : places,
    ...(isRandom && { seed }),
  };
}
