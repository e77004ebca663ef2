/** @file Some of a set's images, for an evaluation's report. */

import { at, take } from '../../at.ts';
import { encodePng, enlarge, grid, type Image, sideBySide, withChannels } from '../../media/image.ts';
import { resize } from '../../media/resize.ts';
import { elementCount } from '../../tensor/tensor.ts';
import type { SampleSource } from '../sample-source.ts';
import { escapeHtml, type ReportFigure } from './page.ts';

const MAX_IMAGES = 64;
const COLUMNS = 8;
const MAX_CLIPS = 8;
/** Frames of a clip that are shown, side by side. */
const MAX_FRAMES = 8;
/** Sides of an image in the grid, in pixels. */
const CELL = 64;

/** A grid of images, or of clips one below the other, evenly spread over the set. */
export async function pictureGrid(source: SampleSource, name: string): Promise<ReportFigure> {
  const areClips = source.shape.length === 4;
  const images = await pick(source, areClips ? MAX_CLIPS : MAX_IMAGES);
  const cells = images.map((frames) => sideBySide(evenly(frames, MAX_FRAMES).map(fitted)));
  const picture = grid(cells, { columns: areClips ? 1 : COLUMNS, padding: 2, background: 128 });
  const png = Buffer.from(await encodePng(picture)).toString('base64');
  const size = `${source.shape.at(-2)} x ${source.shape.at(-3)} pixels`;
  const unit = areClips ? 'clips' : 'images';
  const chosen =
    cells.length === source.count
      ? `all ${source.count} ${unit}`
      : `${cells.length} of ${source.count} ${unit}, evenly spread over the set`;
  const frames = areClips
    ? `, a row each with ${Math.min(MAX_FRAMES, at(source.shape, 0))} of its ${source.shape[0]} frames`
    : '';
  const caption = `${name}: ${chosen}, of ${size}${frames}`;
  const alt = escapeHtml(`Grid of pictures. ${caption}.`);
  return {
    content: `<img src="data:image/png;base64,${png}" width="${picture.width}" height="${picture.height}" alt="${alt}">`,
    caption,
  };
}

/** The frames of `most` samples, evenly spread over the set; an image is one frame. */
async function pick(source: SampleSource, most: number): Promise<Image[][]> {
  const all = Array.from({ length: source.count }, (_, i) => i);
  const wanted = new Set(evenly(all, most));
  const [height, width, channels] = take(source.shape.slice(-3), 3);
  const frameSize = width * height * channels;
  const frames = elementCount(source.shape) / frameSize;
  const found: Image[][] = [];
  let index = 0;
  for await (const { shape, data } of source.batches(most)) {
    for (let sample = 0; sample < at(shape, 0); sample++, index++) {
      if (!wanted.has(index)) continue;
      const frame = (t: number): Image => {
        const start = (sample * frames + t) * frameSize;
        return inColour(data.slice(start, start + frameSize), width, height);
      };
      found.push(Array.from({ length: frames }, (_, t) => frame(t)));
    }
    if (found.length === wanted.size) break;
  }
  return found;
}

function inColour(data: Uint8Array, width: number, height: number): Image {
  const channels = data.length === width * height ? 1 : 3;
  return withChannels({ width, height, channels, data }, 3);
}

/** Brought to about the size of a cell: small ones by whole factors, so that their pixels stay what they are. */
function fitted(image: Image): Image {
  const longest = Math.max(image.width, image.height);
  if (longest <= CELL) return enlarge(image, Math.floor(CELL / longest));
  const side = (length: number): number => Math.max(1, Math.round((length * CELL) / longest));
  return resize(image, side(image.width), side(image.height), 'bicubic');
}

function evenly<T>(items: readonly T[], most: number): T[] {
  const count = Math.min(items.length, most);
  return Array.from({ length: count }, (_, i) => at(items, Math.floor((i * items.length) / count)));
}
