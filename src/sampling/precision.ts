/** @file How products with weights are computed, and what makes graphs that compute them so. */

import { ArgumentError } from '../errors.ts';
import { halveProducts } from '../graph/half.ts';
import { type BoundGraph, type FloatGraph, quantizeProducts } from '../graph/quantize.ts';
import { weightBits } from '../runtime/byte-products.ts';
import type { Device } from '../runtime/device.ts';
import { requireHalf } from '../runtime/half-products.ts';

/** How products with weights are computed: in 32-bit or 16-bit floating point, or in 8-bit integers. */
export type Precision = (typeof PRECISIONS)[number];
export const PRECISIONS = ['fp32', 'fp16', 'int8'] as const;

/** A device's name, and whether its memory is its own. */
export type DeviceKind = Pick<Device, 'name' | 'separateMemory'>;

/** Describes a device of Node by its name. */
export function deviceKind(name: string): DeviceKind {
  return { name, separateMemory: name !== 'cpu' };
}

/** Returns what a kind of device can be asked for: half floats are slow on CPUs, and 8 bits on GPUs. */
export function precisionsOf({ separateMemory }: DeviceKind): readonly Precision[] {
  return separateMemory ? ['fp32', 'fp16'] : ['fp32', 'int8'];
}

/** Returns the precision of a model for which none is chosen. @param stored that of its file */
export function defaultPrecision(device: DeviceKind, stored: Precision | undefined): Precision {
  return stored !== undefined && precisionsOf(device).includes(stored) ? stored : 'fp32';
}

/** @throws {ArgumentError} if a device does not compute in a precision, with those that it does. */
export function requirePrecision(device: DeviceKind, precision: Precision | undefined): void {
  const possible = precisionsOf(device);
  if (precision === undefined || possible.includes(precision)) return;
  const problem = PRECISIONS.includes(precision)
    ? `${precision} is not available on ${device.name}, which computes in ${possible.join(' or ')}`
    : `must be one of ${PRECISIONS.join(', ')}, got '${precision}'`;
  throw new ArgumentError(`precision ${problem}`, { field: 'precision', problem });
}

/** Whether a weight is one of a layer, by its name. */
export function isLayerWeight(name: string): boolean {
  return name.startsWith('blocks.');
}

/** Makes a graph compute in a precision. */
export type Prepare = (exact: FloatGraph) => BoundGraph;

/**
 * Returns what makes products of layers compute in a precision. The first and the last product of the model stay exact:
 * they are small, and all of their error reaches the result.
 * @param isKept whether an input or output is kept for later products, and so in their precision
 * @throws {ArgumentError} if the device does not compute in it; {DeviceError} if it computes wrongly
 */
export async function preparation(
  device: Device,
  precision: Precision,
  isKept: (name: string) => boolean = () => false,
): Promise<Prepare> {
  requirePrecision(device, precision);
  const isExact = (weight: string): boolean => !isLayerWeight(weight);
  if (precision === 'int8') {
    const bits = await weightBits(device);
    return (exact) => quantizeProducts(exact, { bits, isExact });
  }
  if (precision === 'fp16') {
    await requireHalf(device);
    return (exact) => halveProducts(exact, { isExact, isHalf: isKept });
  }
  return (exact) => exact;
}
