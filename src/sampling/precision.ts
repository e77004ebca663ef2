/** @file How products with weights are computed, and what makes graphs that compute them so. */

import { DeviceError } from '../errors.ts';
import { halveProducts } from '../graph/half.ts';
import { type BoundGraph, type FloatGraph, quantizeProducts } from '../graph/quantize.ts';
import { weightBits } from '../runtime/byte-products.ts';
import type { Device } from '../runtime/device.ts';
import { requireHalf } from '../runtime/half-products.ts';

/** How products with weights are computed: in 32-bit or 16-bit floating point, or in 8-bit integers. */
export type Precision = (typeof PRECISIONS)[number];
export const PRECISIONS = ['fp32', 'fp16', 'int8'] as const;

/** Returns what a kind of device can be asked for: half floats are slow on CPUs, and 8 bits on GPUs. */
export function precisionsOf({ separateMemory }: Device): readonly Precision[] {
  return separateMemory ? ['fp32', 'fp16'] : ['fp32', 'int8'];
}

/** Says why a device does not compute in a precision, and what it can; undefined if it does. */
export function whyNotPrecision(device: Device, precision: Precision): string | undefined {
  const possible = precisionsOf(device);
  if (possible.includes(precision)) return undefined;
  return `${precision} is not available on ${device.name}, which computes in ${possible.join(' or ')}`;
}

/** Makes a graph compute in a precision. */
export type Prepare = (exact: FloatGraph) => BoundGraph;

/**
 * Returns what makes products of layers compute in a precision. The first and the last product of the model stay exact:
 * they are small, and all of their error reaches the result.
 * @throws {DeviceError} if the device does not compute in it
 */
export async function preparation(device: Device, precision: Precision): Promise<Prepare> {
  const refusal = whyNotPrecision(device, precision);
  if (refusal) throw new DeviceError(`precision ${refusal}`);
  const isExact = (weight: string): boolean => !weight.startsWith('blocks.');
  if (precision === 'int8') {
    const bits = await weightBits(device);
    return (exact) => quantizeProducts(exact, { bits, isExact });
  }
  if (precision === 'fp16') {
    await requireHalf(device);
    return (exact) => halveProducts(exact, { isExact });
  }
  return (exact) => exact;
}
