/** @file Pooling over any number of spatial axes; axes are (N, C, ...), as PyTorch has them. */

import { at } from '../../at.ts';
import { ShapeError } from '../../errors.ts';
import { elementCount, float32 } from '../../tensor/tensor.ts';
import { apply, applyOne, constant, type Shape, type SymbolicTensor, showShape } from '../symbolic.ts';
import { constantZeros, reshape } from './broadcasting.ts';
import { spread } from './convolution.ts';
import { multiply } from './elementwise.ts';
import {
  requireKnown,
  showWindow,
  type WindowOptions,
  type Windows,
  windowAttributes,
  windowsOver,
} from './windows.ts';

export interface AveragePoolOptions extends WindowOptions {
  /** Padding counts as zeros, rather than not at all (PyTorch's `count_include_pad`); false by default. */
  readonly countPadding?: boolean;
}

/**
 * The largest element of each window, such as (N, C, H, W) with kernel [h, w] -> (N, C, H', W'). Padding is never the
 * largest. The gradient goes to that element alone, one of them where several are equal.
 * @throws {ShapeError} also where a window might hold nothing but padding.
 */
export function maxPool(
  x: SymbolicTensor,
  kernel: readonly number[],
  options: WindowOptions = {},
): SymbolicTensor {
  const windows = poolWindows('maxPool', x.shape, kernel, options);
  const shape = pooledShape(x.shape, windows);
  const node = { operator: 'MaxPool', inputs: [x], attributes: windowAttributes(windows) };
  return applyOne({
    ...node,
    shape,
    gradient: (g) => {
      requireKnown('maxPool', x.shape);
      // Pooled once more: asked for the places of the largest, ONNX Runtime is much slower.
      const both = apply({ ...node, outputs: [{ shape }, { shape, dtype: 'int64' }] });
      return [scatter(g, at(both, 1), x.shape)];
    },
  });
}

/** Each element added to that of a tensor of zeros whose number in row-major order `places` says. */
function scatter(elements: SymbolicTensor, places: SymbolicTensor, shape: Shape): SymbolicTensor {
  const count = elementCount(elements.shape.map(Number));
  const total = elementCount(shape.map(Number));
  const sums = applyOne({
    operator: 'ScatterElements',
    inputs: [constantZeros([total]), reshape(places, [count]), reshape(elements, [count])],
    attributes: { axis: 0, reduction: 'add' },
    shape: [total],
  });
  return reshape(sums, shape);
}

/**
 * The mean of each window, such as (N, C, H, W) with kernel [h, w] -> (N, C, H', W').
 * @throws {ShapeError} also where a window might hold nothing but padding.
 */
export function averagePool(
  x: SymbolicTensor,
  kernel: readonly number[],
  { countPadding = false, ...options }: AveragePoolOptions = {},
): SymbolicTensor {
  const windows = poolWindows('averagePool', x.shape, kernel, options);
  return applyOne({
    operator: 'AveragePool',
    inputs: [x],
    attributes: { ...windowAttributes(windows), count_include_pad: Number(countPadding) },
    shape: pooledShape(x.shape, windows),
    gradient: (g) => {
      requireKnown('averagePool', x.shape);
      return [spreadMeans(g, x.shape, windows, countPadding)];
    },
  });
}

/** Each window's gradient over the elements it counted, as a convolution of one channel has it. */
function spreadMeans(
  g: SymbolicTensor,
  shape: Shape,
  windows: Windows,
  countPadding: boolean,
): SymbolicTensor {
  const planes = Number(shape[0]) * Number(shape[1]);
  const shares = constant(inverseCounts(shape, windows, countPadding));
  const ones = constant(
    float32([1, 1, ...windows.kernel], new Float32Array(elementCount(windows.kernel)).fill(1)),
  );
  const shared = reshape(multiply(g, shares), [planes, 1, ...windows.places]);
  return reshape(spread(shared, ones, [planes, 1, ...shape.slice(2)], windows), shape);
}

/** 1 over how many elements each window counts: (1, 1, places...). */
function inverseCounts(shape: Shape, windows: Windows, countPadding: boolean) {
  const { kernel, strides, padding } = windows;
  const places = windows.places.map(Number);
  const along = kernel.map((size, axis) =>
    Array.from({ length: at(places, axis) }, (_, place) => {
      const start = place * at(strides, axis) - at(padding, axis);
      const end = Math.min(start + size, Number(shape[axis + 2]));
      return countPadding ? size : end - Math.max(start, 0);
    }),
  );
  const counts = along.reduce((all, sizes) => all.flatMap((count) => sizes.map((size) => count * size)), [1]);
  const inverses = counts.map((count) => 1 / count);
  return float32([1, 1, ...places], inverses);
}

/** Windows of which each holds an element at least. */
function poolWindows(
  operator: string,
  shape: Shape,
  kernel: readonly number[],
  options: WindowOptions,
): Windows {
  const windows = windowsOver(shape, kernel, options);
  if (windows?.padding.every((size, side) => size < at(kernel, side % kernel.length))) return windows;
  throw new ShapeError(
    `${operator}: windows [${kernel}] with ${showWindow(options)} do not fit input ${showShape(shape)}; each must ` +
      'hold an element',
  );
}

function pooledShape(shape: Shape, { places }: Windows): Shape {
  return [...shape.slice(0, 2), ...places];
}
