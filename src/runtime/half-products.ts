/** @file Whether a device multiplies half floats: a GPU may lack them, and says so only when it runs a program. */

import { get } from '../at.ts';
import { messageOf } from '../attempt.ts';
import { DeviceError } from '../errors.ts';
import { halveProducts } from '../graph/half.ts';
import { graphOf } from '../graph/onnx.ts';
import { linear } from '../graph/operators/index.ts';
import { input } from '../graph/symbolic.ts';
import { float32 } from '../tensor/tensor.ts';
import type { Device } from './device.ts';

/** Rows, columns and inner values of the product that is tried. */
const SIZE = 64;

/** @throws {DeviceError} if a product of half floats fails, or comes out wrong */
export async function requireHalf(device: Device): Promise<void> {
  const ones = float32([SIZE, SIZE], new Float32Array(SIZE ** 2).fill(1));
  const graph = graphOf({ product: linear(input('x', [SIZE, SIZE]), input('weight', [SIZE, SIZE])) });
  const half = halveProducts({ graph, weights: { weight: ones } }, { isExact: () => false });
  let right: boolean;
  try {
    const program = await device.compile(half.graph, half.weights);
    const { data } = get(await program.run({ x: ones }), 'product');
    await program.dispose();
    right = (data as Float32Array).every((value) => value === SIZE);
  } catch (cause) {
    const reason = messageOf(cause).split('\n').at(-1);
    throw new DeviceError(`precision fp16 is not available on ${device.name} here (${reason}); use fp32`, {
      cause,
    });
  }
  if (!right) throw new DeviceError(`${device.name} multiplies half floats wrongly here; use precision fp32`);
}
