/** @file What a processor makes of products in 8 bits: how many bits of a weight it multiplies rightly. */

import { get } from '../at.ts';
import { DeviceError } from '../errors.ts';
import { graphOf } from '../graph/onnx.ts';
import { byteProduct, roundRows, type WeightBits } from '../graph/quantize.ts';
import { input } from '../graph/symbolic.ts';
import { float32, tensor } from '../tensor/tensor.ts';
import type { Device } from './device.ts';

/** Rows of the product that is tried: enough to select the kernel of large products. */
const ROWS = 64;
const INNER = 64;

/**
 * Finds out by products whose sums are as large as they get. Processors with instructions for 8 bits (VNNI, or Arm's) add them
 * in 32 bits. Others add two at a time in 16 bits first, where they overflow: those need weights of 7 bits.
 * @throws {DeviceError} if even these come out wrong.
 */
export async function weightBits(device: Device): Promise<WeightBits> {
  for (const bits of [8, 7] as const) if (await multipliesRightly(device, bits)) return bits;
  throw new DeviceError(`${device.name} multiplies integers wrongly here; use precision fp32`);
}

/** Multiplies ones by weights that are as large as they get, with each column's sign: +1 and -1 times their number. */
async function multipliesRightly(device: Device, bits: WeightBits): Promise<boolean> {
  const largest = 2 ** (bits - 1) - 1;
  const x = input('x', [ROWS, INNER]);
  const values = input('values', [INNER, INNER], 'int8');
  const scales = input('scales', [INNER]);
  const signOf = (index: number): number => (index % 2 === 0 ? 1 : -1);
  const bound = {
    values: tensor(
      'int8',
      [INNER, INNER],
      Int8Array.from({ length: INNER ** 2 }, (_, i) => signOf(i) * largest),
    ),
    scales: float32([INNER], new Float32Array(INNER).fill(1 / largest)),
  };
  const program = await device.compile(
    graphOf({ product: byteProduct(roundRows(x), values, scales) }),
    bound,
  );
  const ones = float32([ROWS, INNER], new Float32Array(ROWS * INNER).fill(1));
  const { data } = get(await program.run({ x: ones }), 'product');
  await program.dispose();
  return [...data].every((value, i) => Math.abs(Number(value) - signOf(i) * INNER) < 0.5);
}
