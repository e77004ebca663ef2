/** @file Samples as files: grids with one row per label, clips that play together, and videos that grow frame by frame. */

import { at } from '../at.ts';
import { blankImage, enlarge, grid, type Image, sideBySide } from '../media/image.ts';
import { framesOf, legibleScale } from '../media/pixels.ts';
import { labelRows } from '../media/text.ts';
import { openVideoWriter, type VideoFormat, type VideoWriter } from '../media/video-writer.ts';
import type { Tensor } from '../tensor/tensor.ts';

/** Small images are enlarged to about this many pixels in a grid. */
const GRID_CELL = 64;
/** Max samples of each label in a grid, and max labels. */
const MAX_COLUMNS = 32;
const MAX_ROWS = 128;
/** Clips in a row of an animation. */
const CLIP_COLUMNS = 5;

/** A sample's image and the name of its label. */
export interface NamedImage {
  readonly name: string;
  readonly image: Image;
}

/** Returns images (N, frames, C, H, W) as one image per sample; the frames of a video side by side. */
export function imagesOf(images: Tensor<'float32'>): Image[] {
  return framesOf(images).map(sideBySide);
}

/** Adds a sample to those of a grid, unless the grid is full: only what is shown is kept in memory. */
export function addToGrid(samples: NamedImage[], sample: NamedImage): void {
  const inRow = samples.slice(-MAX_COLUMNS).filter(({ name }) => name === sample.name).length;
  if (inRow < MAX_COLUMNS && samples.length < MAX_COLUMNS * MAX_ROWS) samples.push(sample);
}

/** Returns a grid with one row for each run of samples with the same name, named at the left. */
export function labelledGrid(samples: readonly NamedImage[]): Image {
  const rows = rowsByName(samples).slice(0, MAX_ROWS);
  const columns = Math.min(MAX_COLUMNS, Math.max(...rows.map(({ images }) => images.length)));
  const first = at(at(rows, 0).images, 0);
  const blank = blankImage(first.width, first.height, first.channels, 255);
  const cells = rows.flatMap(({ images }) =>
    Array.from({ length: columns }, (_, column) => images[column] ?? blank),
  );
  const factor = Math.max(1, Math.round(GRID_CELL / first.height));
  const enlarged = cells.map((cell) => enlarge(cell, factor));
  const names = rows.map(({ name }) => name);
  return labelRows(grid(enlarged, { columns, padding: 2 * factor }), names);
}

function rowsByName(samples: readonly NamedImage[]): { name: string; images: Image[] }[] {
  const rows: { name: string; images: Image[] }[] = [];
  for (const { name, image } of samples) {
    const last = rows.at(-1);
    if (last?.name === name) last.images.push(image);
    else rows.push({ name, images: [image] });
  }
  return rows;
}

/** Writes an animation (WebP, GIF or MP4, by the ending) of clips side by side, given frame by frame, `perClip` frames each. */
export async function writeAnimatedGrid(
  path: string,
  frames: readonly Image[],
  perClip: number,
  columns = CLIP_COLUMNS,
): Promise<void> {
  const factor = Math.max(1, Math.round(GRID_CELL / at(frames, 0).height));
  const pictures = Array.from({ length: perClip }, (_, t) => {
    const shown = frames.filter((_, i) => i % perClip === t).map((frame) => enlarge(frame, factor));
    return grid(shown, { columns, padding: 2 * factor });
  });
  const { width, height } = at(pictures, 0);
  const writer = await openVideoWriter(path, { width, height, fps: DEFAULT_FPS });
  await writer.add(pictures);
  await writer.finish();
}

/** How videos are written. */
export interface VideoSettings {
  readonly format: VideoFormat;
  /** Frames per second. */
  readonly fps: number;
}

/** Default frames per second, as in the official script. */
export const DEFAULT_FPS = 4;
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
    const scale = format === 'png' ? 1 : legibleScale({ height });
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
