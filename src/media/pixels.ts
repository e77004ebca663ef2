/** @file 8-bit images: from and to a model's samples in [-1, 1], enlarged, and in a grid. */

import { at, float32At, take, uint8At } from '../at.ts';
import { ArgumentError, ShapeError } from '../errors.ts';
import { joinArrays } from '../tensor/axes.ts';
import type { Tensor } from '../tensor/tensor.ts';

/** Grey or RGB. */
export type Channels = 1 | 3;

/** An image of 8 bits per channel, row by row, channels together: (H, W, C). */
export interface Image {
  readonly width: number;
  readonly height: number;
  readonly channels: Channels;
  readonly data: Uint8Array;
}

/** The size of an image in pixels. */
export type ImageSize = Pick<Image, 'width' | 'height'>;

/** An image file whose pixels are still to be decoded. */
export interface ImageFile extends ImageSize {
  /** @throws {FormatError} if the file is damaged or cut short. */
  decode(): Promise<Image>;
}

/** Returns images of one size side by side. */
export function sideBySide(images: readonly Image[]): Image {
  return images.length === 1 ? at(images, 0) : grid(images, { columns: images.length, padding: 0 });
}

/** How a grid is laid out. */
export interface GridOptions {
  /** Images per row; the last row may be shorter. */
  readonly columns: number;
  /** Pixels around and between the images; default 2, as in torchvision. */
  readonly padding?: number;
  /** Grey value of the padding and of missing images, 0 to 255; default 255. */
  readonly background?: number;
}

/** Luma weights of ITU-R 601 in 16-bit fixed point, as in Pillow's conversion to "L". */
const LUMA = { red: 19595, green: 38470, blue: 7471 } as const;

/** An image of one grey value. */
export function blankImage(width: number, height: number, channels: Channels, value = 0): Image {
  return { width, height, channels, data: new Uint8Array(width * height * channels).fill(value) };
}

/**
 * One sample (C, H, W) in [-1, 1] as an image, values outside clamped. Rounds as torchvision's `save_image`, and as the
 * official video script, which comes to the same: (x + 1) / 2 * 255 + 0.5, each step in float32, clamped, truncated.
 * @throws {ShapeError} if the shape is no (1, H, W) or (3, H, W) of as many values.
 */
export function imageFromSamples(values: Float32Array, shape: readonly number[]): Image {
  const [channels, height = 0, width = 0] = shape;
  const pixels = height * width;
  if (shape.length !== 3 || (channels !== 1 && channels !== 3) || channels * pixels !== values.length) {
    throw new ShapeError(
      `imageFromSamples: expected shape (1 or 3, H, W), got [${shape}] for ${values.length} values`,
    );
  }
  const image = blankImage(width, height, channels);
  for (let c = 0; c < channels; c++) {
    for (let i = 0; i < pixels; i++) {
      const share = Math.fround(float32At(values, c * pixels + i) + 1) / 2;
      const scaled = Math.fround(Math.fround(share * 255) + 0.5);
      image.data[i * channels + c] = Math.min(Math.max(scaled, 0), 255);
    }
  }
  return image;
}

/** Pixels (N, frames, C, H, W) in [-1, 1] as images: each sample's frames. */
export function framesOf({ shape, data }: Tensor<'float32'>): Image[][] {
  const [samples, frames, channels, height, width] = take(shape, 5);
  const size = channels * height * width;
  const frame = (index: number): Image =>
    imageFromSamples(data.subarray(index * size, (index + 1) * size), [channels, height, width]);
  return Array.from({ length: samples }, (_, n) =>
    Array.from({ length: frames }, (_, t) => frame(n * frames + t)),
  );
}

/**
 * Pixels (N, frames, C, H, W) in [-1, 1] as the bytes of (N, frames, H, W, 3): RGB, grey ones as three equal channels,
 * which is what evaluators read. Rounded as {@link imageFromSamples} does, so that a PNG of the same sample has the same
 * values; this is DiT's formula, 127.5 x + 128 clamped and truncated, where ADM's own sampler has (x + 1) 127.5, half a
 * grey level less.
 */
export function rgbBytes(pictures: Tensor<'float32'>): Uint8Array {
  const images = framesOf(pictures)
    .flat()
    .map((image) => withChannels(image, 3).data);
  return joinArrays('uint8', images);
}

/** An image as one sample (C, H, W) in [-1, 1], the inverse of {@link imageFromSamples}. */
export function samplesFromImage({ width, height, channels, data }: Image): Float32Array {
  const pixels = width * height;
  const out = new Float32Array(channels * pixels);
  for (let c = 0; c < channels; c++) {
    for (let i = 0; i < pixels; i++) out[c * pixels + i] = data[i * channels + c]! / 127.5 - 1;
  }
  return out;
}

/** The same image in grey or in RGB; grey is ITU-R 601 luma. */
export function withChannels(image: Image, channels: Channels): Image {
  if (image.channels === channels) return image;
  const { width, height, data } = image;
  const out = blankImage(width, height, channels);
  for (let i = 0; i < width * height; i++) {
    if (channels === 3) out.data.fill(uint8At(data, i), 3 * i, 3 * i + 3);
    else {
      const [red, green, blue] = [uint8At(data, 3 * i), uint8At(data, 3 * i + 1), uint8At(data, 3 * i + 2)];
      const luma = LUMA.red * red + LUMA.green * green + LUMA.blue * blue;
      out.data[i] = (luma + 0x8000) >> 16;
    }
  }
  return out;
}

/** Every pixel as a square of `factor` x `factor`, so that small images can be seen. */
export function enlarge(image: Image, factor: number): Image {
  if (factor === 1) return image;
  const { width, height, channels, data } = image;
  const out = blankImage(width * factor, height * factor, channels);
  for (let y = 0; y < out.height; y++) {
    for (let x = 0; x < out.width; x++) {
      const from = (Math.floor(y / factor) * width + Math.floor(x / factor)) * channels;
      const to = (y * out.width + x) * channels;
      for (let c = 0; c < channels; c++) out.data[to + c] = uint8At(data, from + c);
    }
  }
  return out;
}

/** Videos of smaller frames are enlarged to about this height. */
const LEGIBLE_HEIGHT = 256;

/** Returns the factor by which the frames of a video are enlarged: H.264 keeps only half of the colour per side. */
export function legibleScale({ height }: Pick<Image, 'height'>): number {
  return Math.max(1, Math.round(LEGIBLE_HEIGHT / height));
}

/** Copy `source` into `target` at column `left` and row `top`; it must fit and have as many channels. */
export function paste(target: Image, source: Image, left: number, top: number): void {
  const rowBytes = source.width * source.channels;
  for (let y = 0; y < source.height; y++) {
    const row = source.data.subarray(y * rowBytes, (y + 1) * rowBytes);
    target.data.set(row, ((top + y) * target.width + left) * target.channels);
  }
}

/**
 * Images side by side, row by row, with padding around each, laid out as torchvision's `make_grid`.
 * @throws {ArgumentError} if there is no image, they differ in size, or the layout is not possible.
 */
export function grid(images: readonly Image[], options: GridOptions): Image {
  const { columns, padding = 2, background = 255 } = options;
  if (images.length === 0 || !Number.isInteger(columns) || columns < 1 || padding < 0) {
    throw new ArgumentError(
      `grid: expected at least one image, columns >= 1 and padding >= 0, ` +
        `got ${images.length} images, columns ${columns} and padding ${padding}`,
    );
  }
  const first = at(images, 0);
  const { width, height, channels } = first;
  const across = Math.min(columns, images.length);
  const down = Math.ceil(images.length / columns);
  const out = blankImage(
    across * (width + padding) + padding,
    down * (height + padding) + padding,
    channels,
    background,
  );
  images.forEach((image, i) => {
    if (image.width !== width || image.height !== height || image.channels !== channels) {
      throw new ArgumentError(
        `grid: image ${i} is ${describe(image)} but the first is ${describe(first)}; all must be alike`,
      );
    }
    const column = i % columns;
    const row = Math.floor(i / columns);
    paste(out, image, padding + column * (width + padding), padding + row * (height + padding));
  });
  return out;
}

function describe({ width, height, channels }: Image): string {
  return `${width}x${height} with ${channels} channel${channels === 1 ? '' : 's'}`;
}

/** Python's `round`. */
export function roundHalfEven(value: number): number {
  const floor = Math.floor(value);
  if (value - floor !== 0.5) return Math.round(value);
  return floor % 2 === 0 ? floor : floor + 1;
}
