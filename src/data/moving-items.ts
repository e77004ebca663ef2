/**
 * @file Clips made on the fly: images of an IDX set move over a dark canvas and bounce off its edges, the moving
 * MNIST protocol. Each time a clip is read its motion is drawn again, so every epoch shows different clips.
 */

import { float32At, take } from '../at.ts';
import { ConfigError } from '../errors.ts';
import { imageFromSamples, samplesFromImage } from '../media/image.ts';
import { resize } from '../media/resize.ts';
import { defined } from '../records.ts';
import type { Generator } from '../tensor/generator.ts';
import type { Dataset, SampleShape } from './dataset.ts';
import type { ClipOptions } from './kinds.ts';

/** How items are set in motion. */
export interface MovingItemsOptions extends Pick<ClipOptions, 'items' | 'itemSize' | 'speed'> {
  readonly frames: number;
  /** Side of the square canvas in pixels. */
  readonly canvas: number;
}

/** The value of a canvas with nothing on it, and of the background of items. */
const BLACK = -1;

/** Pixels from the top and from the left. */
export type Place = readonly [top: number, left: number];

/**
 * Set the images of a dataset in motion. Clip `i` is of image `i`.
 * @throws {ConfigError} if items do not fit on the canvas, or the slowest is faster than the fastest.
 */
export function movingItems(pictures: Dataset, options: MovingItemsOptions): Dataset {
  const { frames, canvas, items = 1, itemSize, speed = [canvas / 32, (3 * canvas) / 32] } = options;
  const { name, size, classNames, heldOut, fingerprint } = pictures;
  const [, channels, ...sides] = pictures.sampleShape;
  const longer = Math.max(...sides);
  const scaledSides = sides.map((side) => Math.max(1, Math.round((side * (itemSize ?? longer)) / longer)));
  const [height, width] = take(scaledSides, 2);
  const room: Place = [canvas - height, canvas - width];
  if (Math.min(...room) < 0) {
    throw new ConfigError(
      `${name}: items of ${height} x ${width} do not fit on a canvas of ${canvas} x ${canvas} pixels; ` +
        'take a larger imageSize or a smaller itemSize',
    );
  }
  if (speed[0] > speed[1]) {
    throw new ConfigError(`${name}: speed is the slowest and then the fastest, got [${speed}]`);
  }
  return {
    name,
    size,
    classNames,
    sampleShape: [frames, channels, canvas, canvas],
    corruptCount: 0,
    ...defined({ heldOut, fingerprint }),
    async read(index, generator) {
      const others = generator.randint(0, size, items - 1);
      const shown = await Promise.all([index, ...others].map((which) => pictures.read(which, generator)));
      const values = new Float32Array(frames * channels * canvas ** 2).fill(BLACK);
      for (const picture of shown) {
        const item = scaled(picture!.values, pictures.sampleShape, height, width);
        for (const [t, place] of randomPath(frames, room, speed, generator).entries()) {
          draw(values, t, canvas, item, [channels, height, width], place);
        }
      }
      return { values, label: shown[0]!.label };
    },
  };
}

function scaled(
  values: Float32Array,
  [, channels, fromHeight, fromWidth]: SampleShape,
  height: number,
  width: number,
): Float32Array {
  if (height === fromHeight && width === fromWidth) return values;
  const image = imageFromSamples(values, [channels, fromHeight, fromWidth]);
  return samplesFromImage(resize(image, width, height, 'bicubic'));
}

/** Put an item (C, H, W) on frame `t` of a clip (frames, C, canvas, canvas): the brighter value counts, as in moving MNIST. */
function draw(
  clip: Float32Array,
  t: number,
  canvas: number,
  item: Float32Array,
  [channels, height, width]: readonly [number, number, number],
  [top, left]: Place,
): void {
  for (let row = 0; row < channels * height; row++) {
    const channel = Math.floor(row / height);
    const to = ((t * channels + channel) * canvas + top + (row % height)) * canvas + left;
    for (let x = 0; x < width; x++) {
      clip[to + x] = Math.max(float32At(clip, to + x), float32At(item, row * width + x));
    }
  }
}

/**
 * Where a point on a line of length `room` is, were it at `distance` without walls at 0 and `room`. The walls
 * reflect, as in the moving MNIST of Srivastava et al. (2015).
 */
export function reflect(distance: number, room: number): number {
  if (room <= 0) return 0;
  const period = 2 * room;
  const phase = ((distance % period) + period) % period;
  return Math.min(phase, period - phase);
}

/**
 * Whole-pixel places in `frames` frames, from 0 to `room` each; start, direction and speed are uniform. Draws four
 * numbers.
 * @param speed the slowest and the fastest, in pixels per frame.
 */
export function randomPath(
  frames: number,
  [roomBelow, roomRight]: Place,
  [slowest, fastest]: readonly [number, number],
  generator: Generator,
): Place[] {
  const [top, left, turn, pace] = take([...generator.rand(4)], 4);
  const speed = slowest + pace * (fastest - slowest);
  const down = speed * Math.sin(2 * Math.PI * turn);
  const right = speed * Math.cos(2 * Math.PI * turn);
  return Array.from({ length: frames }, (_, t) => [
    Math.round(reflect(top * roomBelow + t * down, roomBelow)),
    Math.round(reflect(left * roomRight + t * right, roomRight)),
  ]);
}
