/**
 * @file Resizing as Pillow does it, and ADM's centre crop on top. sharp's resamplers differ from Pillow's, and
 * models and FID references were made with Pillow's, so this is Pillow's own algorithm (libImaging/Resample.c):
 * a separable filter, widened when shrinking, in 22-bit fixed point, rows first, rounded to 8 bits after each pass.
 */

import { at } from '../at.ts';
import { ArgumentError } from '../errors.ts';
import { blankImage, type Image, type ImageSize, roundHalfEven } from './pixels.ts';

/** A resampling kernel: its weight at a distance, and the distance from which that is 0. */
interface Filter {
  readonly support: number;
  weight(distance: number): number;
}

const box: Filter = { support: 0.5, weight: (x) => (x > -0.5 && x <= 0.5 ? 1 : 0) };

/** Keys' cubic convolution with a = -0.5. */
const bicubic: Filter = {
  support: 2,
  weight(distance) {
    const x = Math.abs(distance);
    if (x < 1) return (1.5 * x - 2.5) * x * x + 1;
    if (x < 2) return ((x - 5) * x + 8) * x * -0.5 + 2;
    return 0;
  },
};

const bilinear: Filter = { support: 1, weight: (x) => Math.max(0, 1 - Math.abs(x)) };

const filters = { box, bilinear, bicubic } as const;

/** Fixed point: 32 bits less 8 of the result and 2 for overshoot. */
const ONE = 2 ** 22;

/**
 * The taps of `count` output pixels from `start` on: each is made of the input pixels from `first` on, with fixed-point
 * weights.
 */
function taps(inputSize: number, outputSize: number, filter: Filter, start: number, count: number) {
  const scale = inputSize / outputSize;
  const filterScale = Math.max(scale, 1);
  const support = filter.support * filterScale;
  return Array.from({ length: count }, (_, i) => {
    const center = (start + i + 0.5) * scale;
    const first = Math.max(Math.trunc(center - support + 0.5), 0);
    const last = Math.min(Math.trunc(center + support + 0.5), inputSize);
    const weights = Array.from({ length: last - first }, (_, x) =>
      filter.weight((x + first - center + 0.5) * (1 / filterScale)),
    );
    const sum = weights.reduce((total, weight) => total + weight, 0);
    return { first, weights: weights.map((weight) => roundHalfAway((weight / sum) * ONE)) };
  });
}

function roundHalfAway(value: number): number {
  return Math.trunc(value + (value < 0 ? -0.5 : 0.5));
}

/** Scale along one axis. `outer` x `size` x `inner` bytes in, `outer` x `taps` x `inner` out. */
function resample(
  data: Uint8Array,
  outer: number,
  size: number,
  inner: number,
  plan: ReturnType<typeof taps>,
) {
  const out = new Uint8Array(outer * plan.length * inner);
  for (let o = 0; o < outer; o++) {
    for (const [i, { first, weights }] of plan.entries()) {
      const from = (o * size + first) * inner;
      const to = (o * plan.length + i) * inner;
      for (let k = 0; k < inner; k++) {
        let sum = ONE / 2;
        for (let x = 0; x < weights.length; x++) sum += data[from + x * inner + k]! * weights[x]!;
        out[to + k] = Math.min(Math.max(Math.floor(sum / ONE), 0), 255);
      }
    }
  }
  return out;
}

/** Pillow's `Image.resize((width, height), filter)`, bit for bit. */
export function resize(image: Image, width: number, height: number, filter: keyof typeof filters): Image {
  return resizedPart(image, { width, height }, filter, { left: 0, top: 0, width, height });
}

/**
 * Computes a part of a resized image without the rest: the short side of a very long image may be brought to a size at
 * which its long side has a billion pixels.
 */
function resizedPart(
  image: Image,
  { width, height }: ImageSize,
  filter: keyof typeof filters,
  part: ImageSize & { readonly left: number; readonly top: number },
): Image {
  const { left, top } = part;
  const rows = taps(image.height, height, filters[filter], top, part.height);
  // The first pass only makes the rows that the second one reads.
  const [firstRow, endRow] =
    height === image.height
      ? [top, top + part.height]
      : [at(rows, 0).first, Math.max(...rows.map(({ first, weights }) => first + weights.length))];
  let current = crop(image, 0, firstRow, image.width, endRow - firstRow);
  if (width === image.width) current = crop(current, left, 0, part.width, current.height);
  else {
    const columns = taps(image.width, width, filters[filter], left, part.width);
    const data = resample(current.data, current.height, image.width, image.channels, columns);
    current = { ...current, width: part.width, data };
  }
  if (height === image.height) return current;
  const shifted = rows.map(({ first, weights }) => ({ first: first - firstRow, weights }));
  const data = resample(current.data, 1, current.height, current.width * image.channels, shifted);
  return { ...current, height: part.height, data };
}

/** A part of an image. */
export function crop(image: Image, left: number, top: number, width: number, height: number): Image {
  const rowBytes = width * image.channels;
  if (width === image.width) {
    return { ...image, height, data: image.data.subarray(top * rowBytes, (top + height) * rowBytes) };
  }
  const out = blankImage(width, height, image.channels);
  for (let y = 0; y < height; y++) {
    const from = ((top + y) * image.width + left) * image.channels;
    out.data.set(image.data.subarray(from, from + rowBytes), y * rowBytes);
  }
  return out;
}

/**
 * ADM's `center_crop_arr`, used for ImageNet by ADM, DiT and ACDiT: halve while the short side is at least twice
 * `size`, bring it to `size` by bicubic filtering, and cut the middle square out.
 * @throws {ArgumentError} if `size` is not a positive integer.
 */
export function centerCrop(image: Image, size: number): Image {
  requireSize('centerCrop', size);
  let current = image;
  while (Math.min(current.width, current.height) >= 2 * size) {
    current = resize(current, Math.floor(current.width / 2), Math.floor(current.height / 2), 'box');
  }
  return middleSquare(current, size, 'bicubic', roundHalfEven, Math.floor);
}

/**
 * The short side brought to `size` by bilinear filtering, and the middle square cut out: what the paper does to the
 * frames of videos, as torchvision's `Resize` and `CenterCrop`.
 * @throws {ArgumentError} if `size` is not a positive integer.
 */
export function shortSideCrop(image: Image, size: number): Image {
  requireSize('shortSideCrop', size);
  const atLeastSize = (side: number): number => Math.max(size, Math.floor(side));
  return middleSquare(image, size, 'bilinear', atLeastSize, roundHalfEven);
}

/** The middle square of an image whose short side is brought to `size`; sides and margins are rounded as given. */
function middleSquare(
  image: Image,
  size: number,
  filter: keyof typeof filters,
  roundSide: (side: number) => number,
  roundMargin: (margin: number) => number,
): Image {
  const scale = size / Math.min(image.width, image.height);
  const [width, height] = [roundSide(image.width * scale), roundSide(image.height * scale)];
  const [left, top] = [roundMargin((width - size) / 2), roundMargin((height - size) / 2)];
  return resizedPart(image, { width, height }, filter, { left, top, width: size, height: size });
}

function requireSize(caller: string, size: number): void {
  if (Number.isInteger(size) && size >= 1) return;
  throw new ArgumentError(`${caller}: size must be a positive integer, got ${size}`);
}
