/**
 * @file Images in an `.npz`: the array `arr_0` of the ADM suite, read batch by batch, as it may be larger than memory.
 */

import { at, take } from '../at.ts';
import { FormatError } from '../errors.ts';
import type { Npz } from '../formats/npz.ts';
import { requireModest } from '../media/image.ts';
import { type Tensor, tensor } from '../tensor/tensor.ts';
import { labelsIfReadable, modestBatch, type SampleSource } from './sample-source.ts';

/** What the ADM suite calls the images. */
export const IMAGES = 'arr_0';
/** And their labels, which not every file has. */
const LABELS = 'arr_1';

/**
 * The images of an npz file: uint8, (N, H, W, 3), or (N, H, W, 1) or (N, H, W) if they are grey.
 * @param npz is closed with the source.
 * @param name what to call it in messages.
 * @param maxPixels max pixels of an image.
 * @throws {FormatError} if there are none, they are too large, or of another type or layout.
 */
export async function openImageArray(npz: Npz, name: string, maxPixels?: number): Promise<SampleSource> {
  const header = await readHeader(npz);
  requireImages(header, `${name}: '${IMAGES}'`);
  const [[count, height, width], channels = 1] = [take(header.shape, 3), header.shape[3]];
  const shape = [height, width, channels];
  requireModest(`${name}: an image of '${IMAGES}'`, { width, height }, { maxPixels });
  return {
    name,
    count,
    shape,
    ...(npz.has(LABELS) && (await labelsIfReadable(() => readLabels(npz, count, `${name}: '${LABELS}'`)))),
    async *batches(size) {
      const array = await npz.stream(IMAGES);
      try {
        for await (const { shape: piece, data } of array.pieces(modestBatch(size, shape))) {
          yield tensor('uint8', [at(piece, 0), ...shape], data as Uint8Array);
        }
      } finally {
        await array.close();
      }
    },
    close: () => npz.close(),
  };
}

async function readLabels(npz: Npz, count: number, where: string): Promise<number[]> {
  const { shape, data } = await npz.read(LABELS);
  const labels = Array.from(data as ArrayLike<number | bigint>, Number);
  const wrong = labels.findIndex((label) => !(Number.isInteger(label) && label >= 0));
  if (shape.join() === String(count) && wrong < 0) return labels;
  const got = shape.join() === String(count) ? `${labels[wrong]} for image ${wrong}` : `shape [${shape}]`;
  throw new FormatError(
    `${where} must be a label for each of ${count} images, whole numbers from 0, got ${got}`,
  );
}

/** Returns the type and shape of the images or videos in an npz file. */
export async function readHeader(npz: Npz): Promise<Pick<Tensor, 'dtype' | 'shape'>> {
  const array = await npz.stream(IMAGES);
  await array.close();
  return array;
}

function requireImages({ dtype, shape }: Pick<Tensor, 'dtype' | 'shape'>, where: string): void {
  if (dtype !== 'uint8') {
    throw new FormatError(`${where} must be images of uint8, 0 to 255, got ${dtype}`);
  }
  const isGrey = shape.length === 3;
  const channels = isGrey ? 1 : shape[3];
  if ((isGrey || shape.length === 4) && (channels === 1 || channels === 3) && !shape.includes(0)) return;
  const isChannelsFirst = shape.length === 4 && (shape[1] === 3 || shape[1] === 1);
  throw new FormatError(
    `${where} must be images of shape [N, H, W, 3], or grey ones without the 3, got [${shape}]` +
      (isChannelsFirst ? '; the channels must be the last axis: numpy.moveaxis(images, 1, -1)' : ''),
  );
}
