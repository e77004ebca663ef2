/**
 * @file Resizing images of 8 bits without a filter against aliasing, in float32, as for the networks of the usual
 * metrics.
 */

import { at, float32At, int32At, take } from '../at.ts';
import { ShapeError } from '../errors.ts';
import { elementCount, float32, type Tensor } from '../tensor/tensor.ts';

const { fround } = Math;

/** How an image is resized to a square, and what becomes of its values. */
export interface BilinearRules {
  /** Height and width of the result. */
  readonly size: number;
  /** Where a pixel's place is: at its top left corner, as in TensorFlow 1, or in its middle, as in PyTorch. */
  readonly pixelPlace: 'corner' | 'middle';
  /** A pixel's value before the resizing, and after it. */
  before(value: number): number;
  after(value: number): number;
}

/**
 * Images or clips resized, channels first: (N, H, W, 3) to (N, 3, size, size), (N, T, H, W, 3) to (N, 3, T, size, size).
 * @param what what they are, for messages
 * @throws {ShapeError} if they do not have the axes.
 */
export function resizePictures(
  what: string,
  { shape, data }: Tensor<'uint8'>,
  axes: 'N, H, W, 3' | 'N, T, H, W, 3',
  rules: BilinearRules,
): Tensor<'float32'> {
  const [height = 0, width = 0, channels] = shape.slice(-3);
  if (shape.length !== axes.split(', ').length || channels !== 3 || height < 1 || width < 1) {
    throw new ShapeError(`${what} must have shape [${axes}], got [${shape}]`);
  }
  const [count, ...times] = take(shape.slice(0, -3), 1);
  const frames = elementCount(times);
  const resize = planeResizer(height, width, rules);
  const [pictureSize, plane] = [height * width * 3, rules.size ** 2];
  const out = new Float32Array(count * 3 * frames * plane);
  for (let i = 0; i < count * frames; i++) {
    const picture = data.subarray(i * pictureSize, (i + 1) * pictureSize);
    const [n, t] = [Math.floor(i / frames), i % frames];
    for (let c = 0; c < 3; c++) {
      const start = ((n * 3 + c) * frames + t) * plane;
      resize(picture, c, out.subarray(start, start + plane));
    }
  }
  return float32([count, 3, ...times, rules.size, rules.size], out);
}

/** For each output pixel along an axis the two input pixels next to it, and how near it is to the second. */
function tapsOf(inputSize: number, { size, pixelPlace }: BilinearRules) {
  const scale = fround(inputSize / size);
  const positions = Float32Array.from({ length: size }, (_, index) =>
    pixelPlace === 'corner'
      ? fround(index * scale)
      : Math.max(fround(fround(scale * (index + 0.5)) - 0.5), 0),
  );
  const low = Int32Array.from(positions, Math.floor);
  return {
    low,
    high: low.map((index) => Math.min(index + 1, inputSize - 1)),
    share: positions.map((position, index) => position - int32At(low, index)),
  };
}

/**
 * A resizer for images of one size, a channel (H, W, 3) to a plane (size, size): along rows first; each step
 * a + (b - a) t in float32.
 */
function planeResizer(height: number, width: number, rules: BilinearRules) {
  const { size } = rules;
  const [rows, columns] = [tapsOf(height, rules), tapsOf(width, rules)];
  const values = Float32Array.from({ length: 256 }, (_, value) => rules.before(value));
  return (picture: Uint8Array, channel: number, plane: Float32Array): void => {
    const resized = [0, 1].map(() => ({ row: new Float32Array(size), y: -1 }));
    const rowOf = (y: number): Float32Array => {
      const place = at(resized, y % 2);
      if (place.y !== y) {
        place.y = y;
        resizeRow(picture.subarray(3 * y * width), channel, columns, values, place.row);
      }
      return place.row;
    };
    for (let y = 0; y < size; y++) {
      const [above, below] = [rowOf(int32At(rows.low, y)), rowOf(int32At(rows.high, y))];
      const share = float32At(rows.share, y);
      const start = y * size;
      for (let x = 0; x < size; x++) {
        const top = above[x]!;
        plane[start + x] = rules.after(fround(top + fround(fround(below[x]! - top) * share)));
      }
    }
  };
}

function resizeRow(
  row: Uint8Array,
  channel: number,
  { low, high, share }: ReturnType<typeof tapsOf>,
  values: Float32Array,
  out: Float32Array,
): void {
  for (let x = 0; x < out.length; x++) {
    const left = values[row[3 * low[x]! + channel]!]!;
    const right = values[row[3 * high[x]! + channel]!]!;
    out[x] = left + fround(fround(right - left) * share[x]!);
  }
}
