/** @file Images in an `.npz`: the array `arr_0` of the ADM suite, read batch by batch, as it may be larger than memory. */

import { FormatError } from '../errors.ts';
import type { NpyStream } from '../formats/npy-stream.ts';
import type { Npz } from '../formats/npz.ts';
import { type Tensor, tensor } from '../tensor/tensor.ts';
import type { SampleSource } from './sample-source.ts';

/** What the ADM suite calls the images. */
export const IMAGES = 'arr_0';
/** And their labels, which not every file has. */
const LABELS = 'arr_1';

/**
 * The images of an npz file: uint8, (N, H, W, 3), or (N, H, W, 1) or (N, H, W) if they are grey.
 * @param npz is closed with the source.
 * @param name what to call it in messages.
 * @throws {FormatError} if there are none, or they are of another type or layout.
 */
export async function openImageArray(npz: Npz, name: string): Promise<SampleSource> {
  const { shape } = await withArray(npz, async (array) => checkedImages(array, `${name}: '${IMAGES}'`));
  const [count, height, width, channels = 1] = shape;
  return {
    name,
    count,
    shape: [height, width, channels],
    labels: npz.has(LABELS)
      ? checkedLabels(await npz.read(LABELS), count, `${name}: '${LABELS}'`)
      : undefined,
    async *batches(size) {
      const array = await npz.stream(IMAGES);
      try {
        for await (const {
          shape: [n],
          data,
        } of array.pieces(size)) {
          yield tensor('uint8', [n, height, width, channels], data as Uint8Array);
        }
      } finally {
        await array.close();
      }
    },
    close: () => npz.close(),
  };
}

function checkedLabels({ shape, data }: Tensor, count: number, where: string): number[] {
  const labels = Array.from(data as ArrayLike<number | bigint>, Number);
  if (shape.join() === String(count) && labels.every((label) => Number.isInteger(label) && label >= 0))
    return labels;
  throw new FormatError(
    `${where} must be a label for each of ${count} images, whole numbers from 0 on, got shape [${shape}]`,
  );
}

async function withArray<T>(npz: Npz, work: (array: NpyStream) => Promise<T>): Promise<T> {
  const array = await npz.stream(IMAGES);
  try {
    return await work(array);
  } finally {
    await array.close();
  }
}

function checkedImages(
  { dtype, shape }: Pick<Tensor, 'dtype' | 'shape'>,
  where: string,
): Pick<Tensor, 'shape'> {
  if (dtype !== 'uint8') {
    throw new FormatError(`${where} must be images of uint8, 0 to 255, got ${dtype}`);
  }
  const isGrey = shape.length === 3;
  const channels = isGrey ? 1 : shape[3];
  if ((isGrey || shape.length === 4) && (channels === 1 || channels === 3) && !shape.includes(0))
    return { shape };
  const isChannelsFirst = shape.length === 4 && (shape[1] === 3 || shape[1] === 1);
  throw new FormatError(
    `${where} must be images of shape [N, H, W, 3], or grey ones without the 3, got [${shape}]` +
      (isChannelsFirst ? '; the channels must be the last axis: numpy.moveaxis(images, 1, -1)' : ''),
  );
}
