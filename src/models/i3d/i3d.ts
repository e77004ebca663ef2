/** @file I3D on a device: batches of clips in, logits out. */

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
  type ConvolutionLayer,
  type ConvolutionParameters,
  readParameters,
} from '../network-layers.ts';
import { I3D_CLASSES, I3D_LAYERS, I3D_LEAST_FRAMES, I3D_SIZE } from './layers.ts';

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

/** @throws {ArgumentError} if I3D cannot take clips of so many frames. */
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
