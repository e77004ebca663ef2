/** @file Clips that play beside each other. */

import { at } from '../at.ts';
import { enlarge, grid, type Image } from '../media/image.ts';
import { openVideoWriter } from '../media/video-writer.ts';
import { DEFAULT_FPS } from './video-files.ts';

/** Pixels a clip to which small ones are enlarged, and clips a row. */
const CELL = 64;
const COLUMNS = 5;

/** Write an animation (WebP, GIF or MP4, by the ending) of clips that are given frame by frame, `perClip` frames each. */
export async function writeAnimatedGrid(
  path: string,
  frames: readonly Image[],
  perClip: number,
  columns = COLUMNS,
): Promise<void> {
  const factor = Math.max(1, Math.round(CELL / at(frames, 0).height));
  const pictures = Array.from({ length: perClip }, (_, t) => {
    const shown = frames.filter((_, i) => i % perClip === t).map((frame) => enlarge(frame, factor));
    return grid(shown, { columns, padding: 2 * factor });
  });
  const { width, height } = at(pictures, 0);
  const writer = await openVideoWriter(path, { width, height, fps: DEFAULT_FPS });
  await writer.add(pictures);
  await writer.finish();
}
