/** @file I3D on a device: batches of clips in, logits out. */

import { at } from '../../at.ts';
import { ArgumentError, ShapeError } from '../../errors.ts';
import { input, type SymbolicTensor } from '../../graph/symbolic.ts';
import type { Device } from '../../runtime/device.ts';
import { type Tensor, zeros } from '../../tensor/tensor.ts';
import {
  I3D_CLASSES,
  I3D_CONVOLUTIONS,
  I3D_LEAST_FRAMES,
  I3D_SIZE,
  type I3dConvolution,
  i3dWeightShape,
} from './layers.ts';
import { i3dLogits } from './network.ts';

/** A convolution's weight (K, C, t, h, w) and bias (K), with the batch norm that follows folded in. */
export interface I3dParameters {
  readonly weight: Tensor<'float32'>;
  readonly bias: Tensor<'float32'>;
}

/** What the network is compiled from. */
export interface I3dOptions {
  readonly device: Device;
  /** Frames of every clip, at least 9. */
  readonly frames: number;
  /** Gives each convolution of {@link I3D_CONVOLUTIONS}. What it gives is copied. */
  readonly parameters: (convolution: I3dConvolution) => Promise<I3dParameters>;
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
  const shape = ['clips', 3, frames, I3D_SIZE, I3D_SIZE] as const;
  const clips = input('clips', shape);
  const inputs: SymbolicTensor[] = [clips];
  const weights = new Map<string, { weight: SymbolicTensor; bias: SymbolicTensor }>();
  const bound: Record<string, Tensor<'float32'>> = {};
  for (const layer of I3D_CONVOLUTIONS) {
    const { name } = layer;
    const weight = input(`${name}.weight`, i3dWeightShape(layer));
    const bias = input(`${name}.bias`, [layer.outputs]);
    const values = await parameters(layer);
    weights.set(name, { weight, bias });
    inputs.push(weight, bias);
    bound[`${name}.weight`] = values.weight;
    bound[`${name}.bias`] = values.bias;
  }
  const logits = i3dLogits(clips, (name) => weights.get(name)!);
  const program = await device.compile({ inputs, outputs: { logits } }, bound);
  return {
    frames,
    async logits(batch) {
      if (String(batch.shape.slice(1)) !== String(shape.slice(1))) {
        throw new ShapeError(`I3D: clips must have shape [N, ${shape.slice(1)}], got [${batch.shape}]`);
      }
      const room = zeros('float32', [at(batch.shape, 0), I3D_CLASSES]);
      await program.run({ clips: batch }, { logits: room });
      return room;
    },
    dispose: () => program.dispose(),
  };
}

/** @throws {ArgumentError} if I3D cannot take clips of so many frames. */
export function requireFrames(frames: number): void {
  if (Number.isInteger(frames) && frames >= I3D_LEAST_FRAMES) return;
  throw new ArgumentError(`I3D takes clips of at least ${I3D_LEAST_FRAMES} frames, got ${frames}`);
}
