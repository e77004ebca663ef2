/**
 * @file Resizing as Pillow does it, and ADM's centre crop on top. sharp's resamplers differ from Pillow's, and
 * models and FID references were made with Pillow's, so this is Pillow's own algorithm (libImaging/Resample.c):
 * a separable filter, widened when shrinking, in 22-bit fixed point, rows first, rounded to 8 bits after each pass.
 */

import { ArgumentError } from '../errors.ts';
import { blankImage, type Image } from './image.ts';

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

/** The input pixels that one output pixel is made of: from `first` on, with these fixed-point weights. */
interface Tap {
  readonly first: number;
  readonly weights: readonly number[];
}

function taps(inputSize: number, outputSize: number, filter: Filter): Tap[] {
  const scale = inputSize / outputSize;
  const filterScale = Math.max(scale, 1);
  const support = filter.support * filterScale;
  return Array.from({ length: outputSize }, (_, i) => {
    const center = (i + 0.5) * scale;
    const first = Math.max(Math.trunc(center - support + 0.5), 0);
    const end = Math.min(Math.trunc(center + support + 0.5), inputSize);
    const weights = Array.from({ length: end - first }, (_, x) =>
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
function resample(data: Uint8Array, outer: number, size: number, inner: number, plan: readonly Tap[]) {
  const out = new Uint8Array(outer * plan.length * inner);
  for (let o = 0; o < outer; o++) {
    for (let i = 0; i < plan.length; i++) {
      const { first, weights } = plan[i];
      const from = (o * size + first) * inner;
      const to = (o * plan.length + i) * inner;
      for (let k = 0; k < inner; k++) {
        let sum = ONE / 2;
        for (let x = 0; x < weights.length; x++) sum += data[from + x * inner + k] * weights[x];
        out[to + k] = Math.min(Math.max(Math.floor(sum / ONE), 0), 255);
      }
    }
  }
  return out;
}

/** Pillow's `Image.resize((width, height), filter)`, bit for bit. */
export function resize(image: Image, width: number, height: number, filter: keyof typeof filters): Image {
  let { data } = image;
  if (width !== image.width) {
    const plan = taps(image.width, width, filters[filter]);
    data = resample(data, image.height, image.width, image.channels, plan);
  }
  if (height !== image.height) {
    const plan = taps(image.height, height, filters[filter]);
    data = resample(data, 1, image.height, width * image.channels, plan);
  }
  return { width, height, channels: image.channels, data };
}

/** A part of an image. */
export function crop(image: Image, left: number, top: number, width: number, height: number): Image {
  const out = blankImage(width, height, image.channels);
  const rowBytes = width * image.channels;
  for (let y = 0; y < height; y++) {
    const from = ((top + y) * image.width + left) * image.channels;
    out.data.set(image.data.subarray(from, from + rowBytes), y * rowBytes);
  }
  return out;
}

/**
 * ADM's `center_crop_arr`, used for ImageNet by ADM, DiT and ACDiT: halve while the short side is at least twice
 * `size`, bring it to `size` by bicubic filtering, and cut the middle square out.
 * @throws {ArgumentError} if `size` is no positive integer.
 */
export function centerCrop(image: Image, size: number): Image {
  if (!Number.isInteger(size) || size < 1) {
    throw new ArgumentError(`centerCrop: size must be a positive integer, got ${size}`);
  }
  let current = image;
  while (Math.min(current.width, current.height) >= 2 * size) {
    current = resize(current, Math.floor(current.width / 2), Math.floor(current.height / 2), 'box');
  }
  const scale = size / Math.min(current.width, current.height);
  current = resize(
    current,
    roundHalfEven(current.width * scale),
    roundHalfEven(current.height * scale),
    'bicubic',
  );
  const left = Math.floor((current.width - size) / 2);
  const top = Math.floor((current.height - size) / 2);
  return crop(current, left, top, size, size);
}

/**
 * The short side brought to `size` by bilinear filtering, and the middle square cut out: what the paper does to the
 * frames of videos, as torchvision's `Resize` and `CenterCrop`.
 * @throws {ArgumentError} if `size` is no positive integer.
 */
export function shortSideCrop(image: Image, size: number): Image {
  if (!Number.isInteger(size) || size < 1) {
    throw new ArgumentError(`shortSideCrop: size must be a positive integer, got ${size}`);
  }
  const scale = size / Math.min(image.width, image.height);
  const side = (length: number): number => Math.max(size, Math.floor(length * scale));
  const resized = resize(image, side(image.width), side(image.height), 'bilinear');
  const left = roundHalfEven((resized.width - size) / 2);
  const top = roundHalfEven((resized.height - size) / 2);
  return crop(resized, left, top, size, size);
}

/** Python's `round`. */
function roundHalfEven(value: number): number {
  const floor = Math.floor(value);
  if (value - floor !== 0.5) return Math.round(value);
  return floor % 2 === 0 ? floor : floor + 1;
}
