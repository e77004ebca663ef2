/** @file Flags that choose which clips of videos are compared. */

import { CLIP_PLACES, CLIP_PROTOCOL, type ClipProtocol } from '../evaluation/clips.ts';
import type { Flags, FlagValues } from './flags.ts';
import { choice, wholeNumber } from './values.ts';

export const clipFlags = {
  'clip-frames': {
    value: 'N',
    parse: wholeNumber(),
    default: String(CLIP_PROTOCOL.frames),
    help: 'frames per clip',
  },
  'clip-stride': {
    value: 'N',
    parse: wholeNumber(),
    default: String(CLIP_PROTOCOL.stride),
    help: 'frame stride within the video',
  },
  'clips-per-video': {
    value: 'N',
    parse: wholeNumber(),
    default: String(CLIP_PROTOCOL.clipsPerVideo),
    help: 'clips per video',
  },
  'clip-places': {
    value: 'NAME',
    parse: choice(CLIP_PLACES),
    default: CLIP_PROTOCOL.places,
    help: 'places of clips in their video: even, of which the first is at its start, or random',
  },
  videos: {
    value: 'N',
    parse: wholeNumber(),
    help: 'use N random videos of each set (default: all)',
  },
} as const satisfies Flags;

/** Returns the protocol that the flags choose. */
export function clipProtocol(
  values: FlagValues<typeof clipFlags>,
  seed: number = CLIP_PROTOCOL.seed,
): ClipProtocol {
  return {
    frames: values['clip-frames'],
    stride: values['clip-stride'],
    clipsPerVideo: values['clips-per-video'],
    places: values['clip-places'],
    videos: values.videos,
    seed,
  };
}
