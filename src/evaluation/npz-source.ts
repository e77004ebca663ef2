/**
 * @file Images and videos in an `.npz`: the array `arr_0` of the ADM suite, read batch by batch or video by video, as it may
 * be larger than memory.
 */

import { at, take } from '../at.ts';
import { FormatError } from '../errors.ts';
import type { Npz } from '../formats/npz.ts';
import { requireModest } from '../media/image.ts';
import { joinArrays } from '../tensor/axes.ts';
import { type Tensor, tensor } from '../tensor/tensor.ts';
import { type ClipProtocol, chosenVideos, clipStarts, statedProtocol } from './clips.ts';
import {
  batchesOf,
  batchOf,
  labelsIfReadable,
  modestBatch,
  modestBatches,
  type SampleSource,
} from './sample-source.ts';

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
    ...batchesOf({
      count: (size) => modestBatches(count, size, shape),
      async *read(size, isOwn) {
        const array = await npz.stream(IMAGES);
        let batch = 0;
        try {
          for await (const { shape: piece, data } of array.pieces(modestBatch(size, shape))) {
            if (isOwn(batch++)) yield tensor('uint8', [at(piece, 0), ...shape], data as Uint8Array);
          }
        } finally {
          await array.close();
        }
      },
      fingerprint: async () => `${npz.checksum(IMAGES)}`,
    }),
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

/**
 * The clips of the videos of an npz file: `arr_0` of uint8, (N, T, H, W, 3), or (N, T, H, W, 1) if they are grey.
 * @param npz is closed with the source.
 * @param name what to call it in messages.
 * @param maxPixels max pixels of all frames of a video together.
 * @throws {FormatError} if there are none, or they are of another type or layout, too short or too large.
 */
export async function openVideoArray(
  npz: Npz,
  name: string,
  protocol: ClipProtocol,
  maxPixels?: number,
): Promise<SampleSource> {
  const header = await readHeader(npz);
  requireVideos(header, `${name}: '${IMAGES}'`);
  const [count, length, height, width, channels] = take(header.shape, 5);
  // A video is read as a whole.
  requireModest(`${name}: a video of '${IMAGES}'`, { width, height: length * height }, { maxPixels });
  const chosen = new Set(chosenVideos(count, protocol));
  const { frames, clipsPerVideo } = protocol;
  clipStarts(name, length, 0, protocol); // long enough?
  const shape = [frames, height, width, channels];
  return {
    name,
    count: chosen.size * clipsPerVideo,
    shape,
    protocol: statedProtocol(protocol, chosen.size, [height, width]),
    ...batchesOf({
      count: (most) => modestBatches(chosen.size * clipsPerVideo, most, shape),
      async *read(most, isOwn) {
        const size = modestBatch(most, shape);
        const array = await npz.stream(IMAGES);
        let clips: { readonly data: Uint8Array }[] = [];
        let [video, batch] = [0, 0];
        try {
          for await (const { data } of array.pieces(1)) {
            if (chosen.has(video)) {
              const starts = clipStarts(name, length, video, protocol);
              clips.push(
                ...starts.map((start) => ({ data: cutOut(data as Uint8Array, length, start, protocol) })),
              );
            }
            video++;
            for (; clips.length >= size || (video === count && clips.length > 0); clips = clips.slice(size)) {
              if (isOwn(batch++)) yield batchOf(shape, clips.slice(0, size));
            }
          }
        } finally {
          await array.close();
        }
      },
      fingerprint: async () => `${npz.checksum(IMAGES)}`,
    }),
    close: () => npz.close(),
  };
}

/** Frames of a video (T, H, W, C) that are a clip. */
function cutOut(
  video: Uint8Array,
  length: number,
  start: number,
  { frames, stride }: ClipProtocol,
): Uint8Array {
  const size = video.length / length;
  const places = Array.from({ length: frames }, (_, t) => (start + t * stride) * size);
  const pieces = places.map((from) => video.subarray(from, from + size));
  return joinArrays('uint8', pieces);
}

function requireVideos({ dtype, shape }: Pick<Tensor, 'dtype' | 'shape'>, where: string): void {
  if (dtype !== 'uint8') throw new FormatError(`${where} must be videos of uint8, 0 to 255, got ${dtype}`);
  const channels = shape[4];
  if (shape.length === 5 && (channels === 1 || channels === 3) && !shape.includes(0)) return;
  const isChannelsFirst = shape.length === 5 && (shape[1] === 3 || shape[2] === 3);
  throw new FormatError(
    `${where} must be videos of shape [N, T, H, W, 3], got [${shape}]` +
      (isChannelsFirst ? '; the channels must be the last axis (numpy.moveaxis)' : ''),
  );
}
