/** @file Convolution of images, and enlarging them; axes are (N, C, H, W), as PyTorch has them. */

import { ShapeError } from '../../errors.ts';
import { float32 } from '../../tensor/tensor.ts';
import { addDims, divideDim, productDim, sameShape } from '../shapes.ts';
import { apply, constant, type Dim, type Shape, type SymbolicTensor, showShape } from '../symbolic.ts';
import { reduceSum, reshape } from './broadcasting.ts';
import { slice, transpose } from './layout.ts';

/** How a kernel moves over an image. */
export interface ConvolutionOptions {
  /** Rows and columns from one place to the next; 1 by default. */
  readonly stride?: number;
  /** Zeros around the image: top, left, bottom, right; none by default. */
  readonly padding?: readonly [top: number, left: number, bottom: number, right: number];
}

type Padding = NonNullable<ConvolutionOptions['padding']>;

const NO_PADDING: Padding = [0, 0, 0, 0];

/** Places of a kernel along an axis. */
function places(size: Dim, padding: number, kernel: number, stride: number): Dim | undefined {
  const steps = divideDim(addDims(size, padding - kernel), stride);
  return steps === undefined || Number(steps) < 0 ? undefined : addDims(steps, 1);
}

/**
 * Convolution (cross-correlation, as in PyTorch): (N, C, H, W) with weight (K, C, h, w) and bias (K) -> (N, K, H', W').
 * @throws {ShapeError} also where H' or W' would depend on what the name of a dim stands for.
 */
export function conv2d(
  x: SymbolicTensor,
  weight: SymbolicTensor,
  bias?: SymbolicTensor,
  { stride = 1, padding = NO_PADDING }: ConvolutionOptions = {},
): SymbolicTensor {
  const [samples, channels, height, width] = x.shape;
  const [outputs, inputs, kernelHeight, kernelWidth] = weight.shape;
  const [top, left, bottom, right] = padding;
  const fits = x.shape.length === 4 && weight.shape.length === 4 && channels === inputs;
  const rows = fits && places(height, top + bottom, Number(kernelHeight), stride);
  const columns = fits && places(width, left + right, Number(kernelWidth), stride);
  if (!rows || !columns || (bias && !sameShape(bias.shape, [outputs]))) {
    throw new ShapeError(
      `conv2d: input ${showShape(x.shape)} with padding [${padding}] and stride ${stride} does not fit weight ` +
        `${showShape(weight.shape)} and bias ${bias ? showShape(bias.shape) : '(none)'}`,
    );
  }
  return convolution(x, weight, bias, {
    kernel: [Number(kernelHeight), Number(kernelWidth)],
    padding,
    stride,
    shape: [samples, outputs, rows, columns],
  });
}

function convolution(
  x: SymbolicTensor,
  weight: SymbolicTensor,
  bias: SymbolicTensor | undefined,
  { kernel, padding, stride, shape }: { kernel: number[]; padding: Padding; stride: number; shape: Shape },
): SymbolicTensor {
  return apply({
    operator: 'Conv',
    inputs: bias ? [x, weight, bias] : [x, weight],
    attributes: { kernel_shape: kernel, pads: padding, strides: [stride, stride] },
    outputs: [{ shape }],
    gradient: ([g]) => {
      if (!g) return [];
      requireKnown(x.shape);
      return [
        spread(g, weight, x.shape, padding, stride),
        correlate(x, g, weight.shape, padding, stride),
        bias && reduceSum(g, [0, 2, 3]),
      ];
    },
  })[0];
}

function requireKnown(shape: Shape): void {
  if (shape.every((dim) => typeof dim === 'number')) return;
  throw new ShapeError(`conv2d: the gradient needs an input of known size, got ${showShape(shape)}`);
}

/** Gradient of the input: each place's gradient spread over the pixels that its kernel read. */
function spread(
  g: SymbolicTensor,
  weight: SymbolicTensor,
  shape: Shape,
  padding: Padding,
  stride: number,
): SymbolicTensor {
  const kernel = weight.shape.slice(2).map(Number);
  const [top, left, bottom, right] = padding;
  // Pixels that no kernel reached, beyond the last place.
  const rest = [2, 3].map((axis) => {
    const around = axis === 2 ? top + bottom : left + right;
    return Number(shape[axis]) + around - kernel[axis - 2] - stride * (Number(g.shape[axis]) - 1);
  });
  return apply({
    operator: 'ConvTranspose',
    inputs: [g, weight],
    attributes: { kernel_shape: kernel, pads: padding, strides: [stride, stride], output_padding: rest },
    outputs: [{ shape }],
  })[0];
}

/** Gradient of the weight: input pixels times the gradients of the places that read them, summed over samples. */
function correlate(
  x: SymbolicTensor,
  g: SymbolicTensor,
  shape: Shape,
  padding: Padding,
  stride: number,
): SymbolicTensor {
  const [top, left, bottom, right] = padding;
  const [, , height, width] = x.shape.map(Number);
  const [, , rows, columns] = g.shape.map(Number);
  // The gradient is the kernel, its places `stride` apart.
  const reached = [
    height + top + bottom - stride * (rows - 1),
    width + left + right - stride * (columns - 1),
  ];
  const swapped = apply({
    operator: 'Conv',
    inputs: [transpose(x, [1, 0, 2, 3]), transpose(g, [1, 0, 2, 3])],
    attributes: { kernel_shape: [rows, columns], pads: padding, dilations: [stride, stride] },
    outputs: [{ shape: [shape[1], shape[0], ...reached] }],
  })[0];
  const cropped = slice(slice(swapped, 2, 0, Number(shape[2])), 3, 0, Number(shape[3]));
  return transpose(cropped, [1, 0, 2, 3]);
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
  const [samples, channels, height, width] = x.shape;
  return apply({
    operator: 'Resize',
    // The second input, a region of interest, is not for this mode.
    inputs: [x, constant(float32([0], [])), constant(float32([4], [1, 1, rows, columns]))],
    attributes: { mode: 'nearest', coordinate_transformation_mode: 'asymmetric', nearest_mode: 'floor' },
    outputs: [{ shape: [samples, channels, productDim([rows, height]), productDim([columns, width])] }],
    gradient: ([g]) => [
      g && reduceSum(reshape(g, [samples, channels, height, rows, width, columns]), [3, 5]),
    ],
  })[0];
}
