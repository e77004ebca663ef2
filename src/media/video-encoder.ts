/** @file What all formats of video files have in common. */

import type { Image } from './pixels.ts';

/** A video in the making: its frames so far, compressed. */
export interface VideoEncoder {
  /** Append frames, all of one size. */
  add(frames: readonly Image[]): Promise<void>;
  /** The whole file of all frames so far, in pieces. */
  file(): Promise<readonly Uint8Array[]>;
}
