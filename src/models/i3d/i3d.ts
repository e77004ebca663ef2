/**
 * @file I3D on a device: batches of clips in, logits of Kinetics-400 out, which are the features of the Fréchet Video
 * Distance. It is Inception v1 with every kernel inflated to three dimensions (Carreira and Zisserman 2017).
 */

import { at, take } from '../../at.ts';
import { ArgumentError, ShapeError } from '../../errors.ts';
import { graphOf } from '../../graph/onnx.ts';
import { reduceMean, reshape } from '../../graph/operators/index.ts';
import { input, type SymbolicTensor, showShape } from '../../graph/symbolic.ts';
import type { Device } from '../../runtime/device.ts';
import { type Tensor, zeros } from '../../tensor/tensor.ts';
import { type BilinearRules, resizePictures } from '../bilinear.ts';
import {
  applyLayers,
  type Branches,
  type ConvolutionLayer,
  type ConvolutionParameters,
  convolutionsOf,
  type NetworkLayer,
  type PoolLayer,
  readParameters,
} from '../network-layers.ts';

/** Classes of Kinetics-400: the number of logits. */
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

/** What the network is compiled from. */
export interface I3dOptions {
  readonly device: Device;
  /** Frames of every clip, at least 9. */
  readonly frames: number;
  /** Gives each convolution of {@link I3D_CONVOLUTIONS}. What it gives is copied. */
  readonly parameters: (convolution: ConvolutionLayer) => Promise<ConvolutionParameters>;
}

/** The video network of FVD, compiled. */
export interface I3d {
  readonly frames: number;
  /**
   * Logits of Kinetics-400, averaged over time: clips (N, 3, frames, 224, 224) in [-1, 1] -> (N, 400).
   * @throws {ShapeError} if the clips have another shape.
   */
  logits(clips: Tensor<'float32'>): Promise<Tensor<'float32'>>;
  /** Give back its programs' memory. */
  dispose(): Promise<void>;
}

/** @throws {ArgumentError} if there are too few frames. */
export async function createI3d({ device, frames, parameters }: I3dOptions): Promise<I3d> {
  requireFrames(frames);
  const shape = [3, frames, I3D_SIZE, I3D_SIZE];
  const logits = i3dLogits(input('clips', ['clips', ...shape]));
  const program = await device.compile(graphOf({ logits }), await readParameters(I3D_LAYERS, parameters));
  return {
    frames,
    async logits(clips) {
      if (String(clips.shape.slice(1)) !== String(shape)) {
        throw new ShapeError(`I3D: clips must have shape [N, ${shape}], got [${clips.shape}]`);
      }
      const logits = zeros('float32', [at(clips.shape, 0), I3D_CLASSES]);
      await program.run({ clips }, { logits });
      return logits;
    },
    dispose: () => program.dispose(),
  };
}

/** @throws {ArgumentError} if I3D cannot take clips of this many frames. */
export function requireFrames(frames: number): void {
  if (Number.isInteger(frames) && frames >= I3D_LEAST_FRAMES) return;
  throw new ArgumentError(`I3D takes clips of at least ${I3D_LEAST_FRAMES} frames, got ${frames}`);
}

/**
 * The graph: clips (N, 3, T, 224, 224) in [-1, 1] to logits averaged over time (N, 400).
 * @throws {ShapeError} if the clips are of another size, or have fewer than 9 frames.
 */
export function i3dLogits(clips: SymbolicTensor): SymbolicTensor {
  const { shape } = clips;
  const expected = [shape[0], 3, Math.max(Number(shape[2]), I3D_LEAST_FRAMES), I3D_SIZE, I3D_SIZE];
  if (shape.join() !== expected.join()) {
    throw new ShapeError(
      `i3dLogits: clips must have shape [N, 3, T, ${I3D_SIZE}, ${I3D_SIZE}] with at least ${I3D_LEAST_FRAMES} frames T, ` +
        `got ${showShape(shape)}`,
    );
  }
  const logits = applyLayers(I3D_LAYERS, clips);
  const [samples, , time] = take(logits.shape, 3);
  return reduceMean(reshape(logits, [samples, I3D_CLASSES, time]), [2]);
}

/**
 * `tensorflow`: from the top left corner of each pixel, as TensorFlow 1 and so the original FVD resizes. `torch`: from
 * the middle of each pixel, as PyTorch and so the ports of it do. Frames of 224 x 224 are the same in both.
 */
export const CLIP_RESIZINGS = ['tensorflow', 'torch'] as const;
/** One of {@link CLIP_RESIZINGS}. */
export type ClipResizing = (typeof CLIP_RESIZINGS)[number];

/**
 * Clips (N, T, H, W, 3) of 8 bits and any size as the network takes them: (N, 3, T, 224, 224) in [-1, 1].
 * @throws {ShapeError} if they have another shape.
 */
export function preprocessClips(clips: Tensor<'uint8'>, resizing: ClipResizing): Tensor<'float32'> {
  const rules: BilinearRules = {
    size: I3D_SIZE,
    pixelPlace: resizing === 'torch' ? 'middle' : 'corner',
    before: (value) => value,
    after: (value) => Math.fround((2 * value) / 255) - 1,
  };
  return resizePictures('preprocessClips: clips', clips, 'N, T, H, W, 3', rules);
}
