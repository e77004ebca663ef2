/** @file Samples as PNG files: one a sample, and a grid with one row a label. */

import { join } from 'node:path';
import { framesOf } from '../media/frames.ts';
import { blankImage, enlarge, grid, type Image, paste, writePng } from '../media/image.ts';
import { labelRows } from '../media/text.ts';
import type { Tensor } from '../tensor/tensor.ts';

/** Small images are enlarged to about this many pixels in a grid. */
const GRID_CELL = 64;
/** A grid shows at most so many of each label, and so many labels. */
const MOST_COLUMNS = 32;
const MOST_ROWS = 128;

/** A sample's picture beside the name of its label. */
export interface NamedImage {
  readonly name: string;
  readonly image: Image;
}

/** Pictures (N, frames, C, H, W) as one image a sample; the frames of a clip side by side. */
export function picturesOf(pictures: Tensor<'float32'>): Image[] {
  return framesOf(pictures).map(strip);
}

/** Images of one size, side by side. */
export function strip(images: readonly Image[]): Image {
  const [first] = images;
  if (images.length === 1) return first;
  const out = blankImage(first.width * images.length, first.height, first.channels);
  for (const [i, image] of images.entries()) paste(out, image, i * first.width, 0);
  return out;
}

/** `007-t-shirt-top` */
export function fileStem(index: number, name: string): string {
  const slug = name
    .toLowerCase()
    .replace(/[^\p{L}\p{N}]+/gu, '-')
    .replace(/^-+|-+$/g, '');
  return `${String(index).padStart(3, '0')}-${slug.slice(0, 80) || 'sample'}`;
}

/** Write one image; gives its path. */
export async function writeNamed(
  folder: string,
  index: number,
  { name, image }: NamedImage,
): Promise<string> {
  const path = join(folder, `${fileStem(index, name)}.png`);
  await writePng(path, image);
  return path;
}

/** Add a sample to those of a grid, unless the grid is full: only what is shown is kept in memory. */
export function addToGrid(samples: NamedImage[], sample: NamedImage): void {
  const inRow = samples.slice(-MOST_COLUMNS).filter(({ name }) => name === sample.name).length;
  if (inRow < MOST_COLUMNS && samples.length < MOST_COLUMNS * MOST_ROWS) samples.push(sample);
}

/** A grid with one row for each run of samples with the same name, named at the left. */
export function labelledGrid(samples: readonly NamedImage[]): Image {
  const rows = rowsByName(samples).slice(0, MOST_ROWS);
  const columns = Math.min(MOST_COLUMNS, Math.max(...rows.map(({ images }) => images.length)));
  const [first] = rows[0].images;
  const blank = blankImage(first.width, first.height, first.channels, 255);
  const cells = rows.flatMap(({ images }) =>
    Array.from({ length: columns }, (_, column) => images[column] ?? blank),
  );
  const factor = Math.max(1, Math.round(GRID_CELL / first.height));
  const image = grid(
    cells.map((cell) => enlarge(cell, factor)),
    { columns, padding: 2 * factor },
  );
  return labelRows(
    image,
    rows.map(({ name }) => name),
  );
}

function rowsByName(samples: readonly NamedImage[]): { name: string; images: Image[] }[] {
  const rows: { name: string; images: Image[] }[] = [];
  for (const { name, image } of samples) {
    const last = rows[rows.length - 1];
    if (last?.name === name) last.images.push(image);
    else rows.push({ name, images: [image] });
  }
  return rows;
}
