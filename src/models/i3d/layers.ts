/**
 * @file The layers of I3D: Inception v1 with every kernel inflated to three dimensions (Carreira and Zisserman
 * 2017). Its logits of Kinetics-400 are the features of the Fréchet Video Distance.
 */

import {
  type Branches,
  type ConvolutionLayer,
  convolutionsOf,
  type NetworkLayer,
  type PoolLayer,
} from '../network-layers.ts';

/** Classes of Kinetics-400, so many logits there are. */
export const I3D_CLASSES = 400;
/** Height and width of the frames that it takes. */
export const I3D_SIZE = 224;
/** With fewer frames there is nothing left in time before the last pooling, whose window is 2. */
export const I3D_LEAST_FRAMES = 9;

/** Numbers along time, height and width. */
type Triple = readonly [number, number, number];

function convolution(
  name: string,
  inputs: number,
  outputs: number,
  size: 1 | 3 | 7,
  step: 1 | 2 = 1,
): ConvolutionLayer {
  const [kernel, stride] = [size, step].map((value): Triple => [value, value, value]) as [Triple, Triple];
  const last = name === 'logits';
  return { kind: 'convolution', name, inputs, outputs, kernel, stride, padding: 'same', last };
}

function maxPool(kernel: Triple, stride: Triple): PoolLayer {
  return { kind: 'maxPool', kernel, stride, padding: 'same' };
}

/** Channels of a block's convolutions: of the first branch, of two each of the second and third, and of the fourth. */
type BlockChannels = readonly [number, number, number, number, number, number];

function block(name: string, inputs: number, ...channels: BlockChannels): Branches {
  const [b0, b1a, b1b, b2a, b2b, b3b] = channels;
  const part = (branch: string, from: number, to: number, size: 1 | 3 = 1): ConvolutionLayer =>
    convolution(`Mixed_${name}.${branch}`, from, to, size);
  return {
    kind: 'branches',
    branches: [
      [part('b0', inputs, b0)],
      [part('b1a', inputs, b1a), part('b1b', b1a, b1b, 3)],
      [part('b2a', inputs, b2a), part('b2b', b2a, b2b, 3)],
      [maxPool([3, 3, 3], [1, 1, 1]), part('b3b', inputs, b3b)],
    ],
  };
}

/** From a clip (3, T, 224, 224) to logits (400, T', 1, 1); the Inception blocks are at three resolutions. */
export const I3D_LAYERS: readonly NetworkLayer[] = [
  convolution('Conv3d_1a_7x7', 3, 64, 7, 2),
  maxPool([1, 3, 3], [1, 2, 2]),
  convolution('Conv3d_2b_1x1', 64, 64, 1),
  convolution('Conv3d_2c_3x3', 64, 192, 3),
  maxPool([1, 3, 3], [1, 2, 2]),
  block('3b', 192, 64, 96, 128, 16, 32, 32),
  block('3c', 256, 128, 128, 192, 32, 96, 64),
  maxPool([3, 3, 3], [2, 2, 2]),
  block('4b', 480, 192, 96, 208, 16, 48, 64),
  block('4c', 512, 160, 112, 224, 24, 64, 64),
  block('4d', 512, 128, 128, 256, 24, 64, 64),
  block('4e', 512, 112, 144, 288, 32, 64, 64),
  block('4f', 528, 256, 160, 320, 32, 128, 128),
  maxPool([2, 2, 2], [2, 2, 2]),
  block('5b', 832, 256, 160, 320, 32, 128, 128),
  block('5c', 832, 384, 192, 384, 48, 128, 128),
  { kind: 'averagePool', kernel: [2, 7, 7], stride: [1, 1, 1], padding: 'valid' },
  convolution('logits', 1024, I3D_CLASSES, 1),
];

/** Every convolution, in the order in which a clip meets them. */
export const I3D_CONVOLUTIONS: readonly ConvolutionLayer[] = convolutionsOf(I3D_LAYERS);
