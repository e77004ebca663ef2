/** @file I3D as a graph: clips to logits. */

import { at, take } from '../../at.ts';
import { ShapeError } from '../../errors.ts';
import {
  averagePool,
  concat,
  convolution,
  maxPool,
  reduceMean,
  relu,
  reshape,
} from '../../graph/operators/index.ts';
import { type SymbolicTensor, showShape } from '../../graph/symbolic.ts';
import {
  I3D_BLOCKS,
  I3D_CLASSES,
  I3D_CONVOLUTIONS,
  I3D_LEAST_FRAMES,
  I3D_SIZE,
  type I3dConvolution,
} from './layers.ts';

/** The weight (K, C, t, h, w) and bias (K) of a convolution by its name, with the batch norm that follows folded in. */
export type I3dSymbols = (name: string) => { readonly weight: SymbolicTensor; readonly bias: SymbolicTensor };

const CONVOLUTIONS = new Map(I3D_CONVOLUTIONS.map((layer) => [layer.name, layer]));

/**
 * Logits averaged over time: clips (N, 3, T, 224, 224) in [-1, 1] -> (N, 400).
 * @throws {ShapeError} if the clips are of another size, or have fewer than 9 frames.
 */
export function i3dLogits(clips: SymbolicTensor, symbols: I3dSymbols): SymbolicTensor {
  requireClips(clips);
  const unit = (name: string, x: SymbolicTensor): SymbolicTensor =>
    convolve(x, CONVOLUTIONS.get(name)!, symbols);
  let x = unit('Conv3d_1a_7x7', clips);
  x = maxPoolSame(x, [1, 3, 3], [1, 2, 2]);
  x = unit('Conv3d_2c_3x3', unit('Conv3d_2b_1x1', x));
  x = maxPoolSame(x, [1, 3, 3], [1, 2, 2]);
  const [third, fourth, fifth] = I3D_BLOCKS;
  for (const { name } of third) x = inceptionBlock(x, name, unit);
  x = maxPoolSame(x, [3, 3, 3], [2, 2, 2]);
  for (const { name } of fourth) x = inceptionBlock(x, name, unit);
  x = maxPoolSame(x, [2, 2, 2], [2, 2, 2]);
  for (const { name } of fifth) x = inceptionBlock(x, name, unit);
  const logits = unit('logits', averagePool(x, [2, 7, 7]));
  const [samples, , time] = take(logits.shape, 3);
  return reduceMean(reshape(logits, [samples, I3D_CLASSES, time]), [2]);
}

function requireClips({ shape }: SymbolicTensor): void {
  const [, channels, frames, height, width] = shape;
  const fits =
    shape.length === 5 &&
    channels === 3 &&
    Number(frames) >= I3D_LEAST_FRAMES &&
    height === I3D_SIZE &&
    width === I3D_SIZE;
  if (fits) return;
  throw new ShapeError(
    `i3dLogits: clips must have shape [N, 3, T, ${I3D_SIZE}, ${I3D_SIZE}] with at least ${I3D_LEAST_FRAMES} frames T, ` +
      `got ${showShape(shape)}`,
  );
}

function convolve(
  x: SymbolicTensor,
  { name, kernel, stride, last }: I3dConvolution,
  symbols: I3dSymbols,
): SymbolicTensor {
  const { weight, bias } = symbols(name);
  const cube = (size: number): number[] => [size, size, size];
  const y = convolution(x, weight, bias, { stride, padding: samePadding(x, cube(kernel), cube(stride)) });
  return last ? y : relu(y);
}

/** Four branches, side by side as channels. */
function inceptionBlock(
  x: SymbolicTensor,
  name: string,
  unit: (name: string, x: SymbolicTensor) => SymbolicTensor,
): SymbolicTensor {
  const branch = (part: string, input: SymbolicTensor): SymbolicTensor => unit(`${name}.${part}`, input);
  return concat(
    [
      branch('b0', x),
      branch('b1b', branch('b1a', x)),
      branch('b2b', branch('b2a', x)),
      branch('b3b', maxPoolSame(x, [3, 3, 3], [1, 1, 1])),
    ],
    1,
  );
}

/** Ports pad with zeros here; all inputs have been through a ReLU, so that makes no difference. */
function maxPoolSame(
  x: SymbolicTensor,
  kernel: readonly number[],
  stride: readonly number[],
): SymbolicTensor {
  return maxPool(x, kernel, { stride, padding: samePadding(x, kernel, stride) });
}

/**
 * TensorFlow's padding SAME: as little as gives ceil(size / stride) places, and the odd one of it behind.
 * @returns padding before along every axis, then behind.
 */
export function samePadding(
  { shape }: Pick<SymbolicTensor, 'shape'>,
  kernel: readonly number[],
  stride: readonly number[],
): number[] {
  const totals = kernel.map((window, axis) => {
    const size = Number(shape[axis + 2]);
    const step = at(stride, axis);
    const places = Math.ceil(size / step);
    return Math.max((places - 1) * step + window - size, 0);
  });
  return [...totals.map((total) => Math.floor(total / 2)), ...totals.map((total) => Math.ceil(total / 2))];
}
