/**
 * @file Pictures of 8 bits as the network wants them: 299 x 299, resized without a filter against aliasing, in [-1, 1].
 * The two common programs differ in where they take a pixel's place to be, and in the last step.
 */

import { ShapeError } from '../../errors.ts';
import { float32, type Tensor } from '../../tensor/tensor.ts';
import { INCEPTION_SIZE } from './layers.ts';

/**
 * `adm`: as TensorFlow 1 resizes, from the top left corner of each pixel, then (x - 128) / 128; what the FID's authors and
 * the ADM suite do. `pytorch-fid`: as PyTorch resizes, from the middle of each pixel, of x / 255, then 2 x - 1.
 */
export type Preprocessing = 'adm' | 'pytorch-fid';

interface Rules {
  /** Where between the input's pixels an output pixel is. @param scale input pixels an output pixel */
  position(index: number, scale: number): number;
  /** A pixel's value before the resizing, and after it. */
  before(value: number): number;
  after(value: number): number;
}

const { fround } = Math;

const RULES: Readonly<Record<Preprocessing, Rules>> = {
  adm: {
    position: (index, scale) => fround(index * scale),
    before: (value) => value,
    after: (value) => (value - 128) / 128,
  },
  'pytorch-fid': {
    position: (index, scale) => Math.max(fround(fround(scale * (index + 0.5)) - 0.5), 0),
    before: (value) => fround(value / 255),
    after: (value) => 2 * value - 1,
  },
};

/** For each output pixel along an axis the two input pixels beside it, and how near it is to the second. */
interface Taps {
  readonly low: Int32Array;
  readonly high: Int32Array;
  readonly share: Float32Array;
}

function tapsOf(size: number, { position }: Rules): Taps {
  const scale = fround(size / INCEPTION_SIZE);
  const positions = Float32Array.from({ length: INCEPTION_SIZE }, (_, index) => position(index, scale));
  const low = Int32Array.from(positions, Math.floor);
  return {
    low,
    high: low.map((index) => Math.min(index + 1, size - 1)),
    share: positions.map((at, index) => at - low[index]),
  };
}

/**
 * Pictures (N, H, W, 3) of any size as the network takes them: (N, 3, 299, 299).
 * @throws {ShapeError} if they have another shape.
 */
export function preprocess(
  { shape, data }: Tensor<'uint8'>,
  preprocessing: Preprocessing,
): Tensor<'float32'> {
  const [count, height, width, channels] = shape;
  if (shape.length !== 4 || channels !== 3 || height < 1 || width < 1) {
    throw new ShapeError(`preprocess: pictures must have shape [N, H, W, 3], got [${shape}]`);
  }
  const rules = RULES[preprocessing];
  const [rows, columns] = [tapsOf(height, rules), tapsOf(width, rules)];
  const values = Float32Array.from({ length: 256 }, (_, value) => rules.before(value));
  const plane = INCEPTION_SIZE ** 2;
  const out = new Float32Array(count * 3 * plane);
  for (let n = 0; n < count; n++) {
    const picture = data.subarray(n * height * width * 3, (n + 1) * height * width * 3);
    for (let c = 0; c < 3; c++) {
      const target = out.subarray((3 * n + c) * plane, (3 * n + c + 1) * plane);
      resizeChannel(picture, c, width, rows, columns, values, target);
    }
  }
  for (let i = 0; i < out.length; i++) out[i] = rules.after(out[i]);
  return float32([count, 3, INCEPTION_SIZE, INCEPTION_SIZE], out);
}

/** Bilinear, along rows first; each step a + (b - a) t in float32. */
function resizeChannel(
  picture: Uint8Array,
  channel: number,
  width: number,
  rows: Taps,
  columns: Taps,
  values: Float32Array,
  out: Float32Array,
): void {
  // Rows that were resized already; most are used twice.
  const resized = [new Float32Array(INCEPTION_SIZE), new Float32Array(INCEPTION_SIZE)];
  const held = [-1, -1];
  const rowOf = (y: number): Float32Array => {
    const place = y % 2;
    if (held[place] !== y) {
      held[place] = y;
      resizeRow(picture.subarray(3 * y * width), channel, columns, values, resized[place]);
    }
    return resized[place];
  };
  for (let y = 0; y < INCEPTION_SIZE; y++) {
    const [above, below, share] = [rowOf(rows.low[y]), rowOf(rows.high[y]), rows.share[y]];
    const at = y * INCEPTION_SIZE;
    for (let x = 0; x < INCEPTION_SIZE; x++) {
      out[at + x] = above[x] + fround(fround(below[x] - above[x]) * share);
    }
  }
}

function resizeRow(
  row: Uint8Array,
  channel: number,
  { low, high, share }: Taps,
  values: Float32Array,
  out: Float32Array,
): void {
  for (let x = 0; x < INCEPTION_SIZE; x++) {
    const left = values[row[3 * low[x] + channel]];
    const right = values[row[3 * high[x] + channel]];
    out[x] = left + fround(fround(right - left) * share[x]);
  }
}
