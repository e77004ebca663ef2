/** @file Small video files, made in code, whose frames can be told apart. */

import { mkdirSync } from 'node:fs';
import { dirname } from 'node:path';
import { blankImage } from '../../src/media/image.ts';
import { openVideoWriter } from '../../src/media/video-writer.ts';

/** The grey value of frame `t` of a clip. */
export const frameGrey = (t: number, first = 0): number => first + 5 * t;

/**
 * Write a clip whose frame t is all of the value `first` + 5 t; what is read of an animated WebP is exactly that.
 * The extension tells the format. Gives the path.
 */
export async function writeClip(
  path: string,
  {
    frames,
    side = 16,
    width = side,
    first = 0,
  }: { frames: number; side?: number; width?: number; first?: number },
): Promise<string> {
  mkdirSync(dirname(path), { recursive: true });
  const writer = await openVideoWriter(path, { width, height: side, fps: 10 });
  await writer.add(Array.from({ length: frames }, (_, t) => blankImage(width, side, 3, frameGrey(t, first))));
  await writer.finish();
  return path;
}
