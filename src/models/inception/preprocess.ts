/**
 * @file Pictures of 8 bits as the network wants them: 299 x 299, resized without a filter against aliasing, in [-1, 1].
 * The two common programs differ in where they take a pixel's place to be, and in the last step.
 */

import { take } from '../../at.ts';
import { ShapeError } from '../../errors.ts';
import { float32, type Tensor } from '../../tensor/tensor.ts';
import { type BilinearRules, planeResizer } from '../bilinear.ts';
import { INCEPTION_SIZE } from './layers.ts';

/**
 * `adm`: as TensorFlow 1 resizes, from the top left corner of each pixel, then (x - 128) / 128; what the FID's authors and
 * the ADM suite do. `pytorch-fid`: as PyTorch resizes, from the middle of each pixel, of x / 255, then 2 x - 1.
 */
export const PREPROCESSINGS = ['adm', 'pytorch-fid'] as const;

/** One of {@link PREPROCESSINGS}. */
export type Preprocessing = (typeof PREPROCESSINGS)[number];

const RULES: Readonly<Record<Preprocessing, BilinearRules>> = {
  adm: {
    size: INCEPTION_SIZE,
    pixelPlace: 'corner',
    before: (value) => value,
    after: (value) => (value - 128) / 128,
  },
  'pytorch-fid': {
    size: INCEPTION_SIZE,
    pixelPlace: 'middle',
    before: (value) => Math.fround(value / 255),
    after: (value) => 2 * value - 1,
  },
};

/**
 * Pictures (N, H, W, 3) of any size as the network takes them: (N, 3, 299, 299).
 * @throws {ShapeError} if they have another shape.
 */
export function preprocess(
  { shape, data }: Tensor<'uint8'>,
  preprocessing: Preprocessing,
): Tensor<'float32'> {
  if (shape.length !== 4 || shape[3] !== 3 || shape.slice(1, 3).some((side) => side < 1)) {
    throw new ShapeError(`preprocess: pictures must have shape [N, H, W, 3], got [${shape}]`);
  }
  const [count, height, width] = take(shape, 3);
  const resize = planeResizer(height, width, RULES[preprocessing]);
  const plane = INCEPTION_SIZE ** 2;
  const out = new Float32Array(count * 3 * plane);
  for (let n = 0; n < count; n++) {
    const picture = data.subarray(n * height * width * 3, (n + 1) * height * width * 3);
    for (let c = 0; c < 3; c++) {
      const start = (3 * n + c) * plane;
      resize(picture, c, out.subarray(start, start + plane));
    }
  }
  return float32([count, 3, INCEPTION_SIZE, INCEPTION_SIZE], out);
}
