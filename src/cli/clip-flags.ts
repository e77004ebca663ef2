/** @file Which clips of videos are compared, as flags. */

import { CLIP_PLACES, CLIP_PROTOCOL, type ClipProtocol } from '../evaluation/clips.ts';
import type { Flags, FlagValues } from './flags.ts';
import { choice, wholeNumber } from './values.ts';

export const clipFlags = {
  'clip-frames': { type: 'string', value: 'N', help: `frames of a clip (${CLIP_PROTOCOL.frames})` },
  'clip-stride': { type: 'string', value: 'N', help: 'every how many-th frame of its video a clip has (1)' },
  'clips-per-video': { type: 'string', value: 'N', help: 'clips of each video (1)' },
  'clip-places': {
    type: 'string',
    value: 'NAME',
    help: `where in their video: ${CLIP_PLACES.join(', from its beginning on, or ')} (even)`,
  },
  videos: { type: 'string', value: 'N', help: 'so many videos of each set, chosen at random (all)' },
} as const satisfies Flags;

/** @throws {ArgumentError} for a value that is none. */
export function clipProtocol(values: FlagValues<typeof clipFlags>, seed: number | undefined): ClipProtocol {
  const number = (flag: keyof typeof clipFlags): number | undefined => {
    const text = values[flag];
    return text === undefined ? undefined : wholeNumber(flag, text, 1);
  };
  const places = values['clip-places'];
  return {
    frames: number('clip-frames') ?? CLIP_PROTOCOL.frames,
    stride: number('clip-stride') ?? CLIP_PROTOCOL.stride,
    clipsPerVideo: number('clips-per-video') ?? CLIP_PROTOCOL.clipsPerVideo,
    places: places === undefined ? CLIP_PROTOCOL.places : choice('clip-places', places, CLIP_PLACES),
    videos: number('videos'),
    seed: seed ?? CLIP_PROTOCOL.seed,
  };
}
