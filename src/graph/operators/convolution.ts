/** @file Convolution over any number of spatial axes, and enlarging images; axes are (N, C, ...), as PyTorch has them. */

import { at, take } from '../../at.ts';
import { ShapeError } from '../../errors.ts';
import { float32 } from '../../tensor/tensor.ts';
import { productDim, sameShape } from '../shapes.ts';
import { applyOne, constant, type Shape, type SymbolicTensor, showShape } from '../symbolic.ts';
import { reduceSum, reshape } from './broadcasting.ts';
import { slice, transpose } from './layout.ts';
import {
  requireKnown,
  showWindow,
  unreached,
  type WindowOptions,
  type Windows,
  windowAttributes,
  windowsOver,
} from './windows.ts';

/**
 * Convolution (cross-correlation, as in PyTorch) over one or more spatial axes, such as (N, C, H, W) with weight
 * (K, C, h, w) and bias (K) -> (N, K, H', W'). Padding is of zeros.
 * @throws {ShapeError} also where a size of the result would depend on what the name of a dim stands for.
 */
export function convolution(
  x: SymbolicTensor,
  weight: SymbolicTensor,
  bias?: SymbolicTensor,
  options: WindowOptions = {},
): SymbolicTensor {
  const [samples, channels] = x.shape;
  const [outputs, inputs, ...kernel] = weight.shape;
  const windows = windowsOver(x.shape, kernel.map(Number), options);
  const isKnown = samples !== undefined && outputs !== undefined && windows;
  if (!isKnown || channels !== inputs || (bias && !sameShape(bias.shape, [outputs]))) {
    throw new ShapeError(
      `convolution: input ${showShape(x.shape)} with ${showWindow(options)} does not fit weight ` +
        `${showShape(weight.shape)} and bias ${bias ? showShape(bias.shape) : '(none)'}`,
    );
  }
  return applyOne({
    operator: 'Conv',
    inputs: bias ? [x, weight, bias] : [x, weight],
    attributes: windowAttributes(windows),
    shape: [samples, outputs, ...windows.places],
    gradient: (g) => {
      requireKnown('convolution', x.shape);
      return [
        spread(g, weight, x.shape, windows),
        correlate(x, g, weight.shape, windows),
        bias && reduceSum(g, [0, ...kernel.map((_, axis) => axis + 2)]),
      ];
    },
  });
}

/** Gradient of the input: each place's gradient spread over the elements that its window read. */
export function spread(
  g: SymbolicTensor,
  weight: SymbolicTensor,
  shape: Shape,
  windows: Windows,
): SymbolicTensor {
  return applyOne({
    operator: 'ConvTranspose',
    inputs: [g, weight],
    attributes: { ...windowAttributes(windows), output_padding: unreached(shape, windows) },
    shape,
  });
}

/** Gradient of the weight: input elements times the gradients of the places that read them, summed over samples. */
function correlate(x: SymbolicTensor, g: SymbolicTensor, shape: Shape, windows: Windows): SymbolicTensor {
  const { kernel, strides, padding, places } = windows;
  const swap = [1, 0, ...kernel.map((_, axis) => axis + 2)];
  const rest = unreached(x.shape, windows);
  const [outputs, inputs] = take(shape, 2);
  // The gradient is the kernel, its places `stride` apart.
  const swapped = applyOne({
    operator: 'Conv',
    inputs: [transpose(x, swap), transpose(g, swap)],
    attributes: { kernel_shape: places.map(Number), pads: padding, dilations: strides },
    shape: [inputs, outputs, ...kernel.map((size, axis) => size + at(rest, axis))],
  });
  const cropped = kernel.reduce((all, size, axis) => slice(all, axis + 2, 0, size), swapped);
  return transpose(cropped, swap);
}

/** Each pixel repeated: (N, C, H, W) -> (N, C, rows H, columns W). */
export function upsampleNearest(x: SymbolicTensor, rows: number, columns: number): SymbolicTensor {
  if (
    x.shape.length !== 4 ||
    !(Number.isInteger(rows) && Number.isInteger(columns) && rows > 0 && columns > 0)
  ) {
    throw new ShapeError(
      `upsampleNearest: expected (N, C, H, W) and whole factors, got ${showShape(x.shape)} and ${rows} x ${columns}`,
    );
  }
  const [samples, channels, height, width] = take(x.shape, 4);
  return applyOne({
    operator: 'Resize',
    // The second input, a region of interest, is not for this mode.
    inputs: [x, constant(float32([0], [])), constant(float32([4], [1, 1, rows, columns]))],
    attributes: { mode: 'nearest', coordinate_transformation_mode: 'asymmetric', nearest_mode: 'floor' },
    shape: [samples, channels, productDim([rows, height]), productDim([columns, width])],
    gradient: (g) => [g && reduceSum(reshape(g, [samples, channels, height, rows, width, columns]), [3, 5])],
  });
}
