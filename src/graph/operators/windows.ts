/** @file Windows that move over the spatial axes of (N, C, ...), as those of convolution and pooling do. */

import { at } from '../../at.ts';
import { ShapeError } from '../../errors.ts';
import { addDims, divideDim } from '../shapes.ts';
import { type Dim, type Shape, showShape } from '../symbolic.ts';

/** How a window moves. */
export interface WindowOptions {
  /** Elements from one place to the next, the same along every axis or one for each; 1 by default. */
  readonly stride?: number | readonly number[];
  /**
   * Elements added around the input: before it along every axis, then after it along every axis. For images that is
   * top, left, bottom, right. None by default.
   */
  readonly padding?: readonly number[];
}

/** Windows over an input. */
export interface Windows {
  /** Sizes of a window along the spatial axes. */
  readonly kernel: readonly number[];
  readonly strides: readonly number[];
  readonly padding: readonly number[];
  /** How many places a window has along each axis. */
  readonly places: readonly Dim[];
}

/**
 * @param kernel sizes of a window, one for each spatial axis of `shape`
 * @returns undefined where a window does not fit, or its places depend on what the name of a dim stands for
 */
export function windowsOver(
  shape: Shape,
  kernel: readonly number[],
  options: WindowOptions,
): Windows | undefined {
  const axes = shape.length - 2;
  const { stride = 1, padding = new Array<number>(2 * Math.max(axes, 0)).fill(0) } = options;
  const strides = typeof stride === 'number' ? kernel.map(() => stride) : stride;
  const fits =
    axes >= 1 &&
    kernel.length === axes &&
    strides.length === axes &&
    padding.length === 2 * axes &&
    [...kernel, ...strides].every((size) => Number.isInteger(size) && size >= 1) &&
    padding.every((size) => Number.isInteger(size) && size >= 0);
  if (!fits) return undefined;
  const places = kernel.flatMap((size, axis) => {
    const steps = divideDim(
      addDims(at(shape, axis + 2), at(padding, axis) + at(padding, axis + axes) - size),
      at(strides, axis),
    );
    return steps === undefined || Number(steps) < 0 ? [] : [addDims(steps, 1)];
  });
  return places.length === axes ? { kernel, strides, padding, places } : undefined;
}

/** Elements along each axis that no window reaches, after the last place; known sizes only. */
export function unreached(shape: Shape, { kernel, strides, padding, places }: Windows): number[] {
  return kernel.map((size, axis) => {
    const padded = Number(shape[axis + 2]) + at(padding, axis) + at(padding, axis + kernel.length);
    return padded - size - at(strides, axis) * (Number(places[axis]) - 1);
  });
}

/** The attributes of ONNX's operators with windows. */
export function windowAttributes({ kernel, strides, padding }: Windows): Record<string, readonly number[]> {
  return { kernel_shape: kernel, pads: padding, strides };
}

/** Says how a window moves, for messages. */
export function showWindow({ stride = 1, padding = [] }: WindowOptions): string {
  return `padding [${padding}] and stride ${typeof stride === 'number' ? stride : `[${stride}]`}`;
}

/** @throws {ShapeError} if a size of `shape` is not known yet. */
export function requireKnown(operator: string, shape: Shape): void {
  if (shape.every((dim) => typeof dim === 'number')) return;
  throw new ShapeError(`${operator}: the gradient needs an input of known size, got ${showShape(shape)}`);
}
