/** @file How many bits of a weight a processor multiplies rightly. */

import { get } from '../at.ts';
import { byteProduct, roundRows, type WeightBits } from '../graph/quantize.ts';
import { input } from '../graph/symbolic.ts';
import { float32, tensor } from '../tensor/tensor.ts';
import type { Device } from './device.ts';

/** Of the product that is tried: as many rows as select the kernel of large products. */
const ROWS = 64;
const INNER = 64;

/**
 * Tries a product whose sums are as large as they get. Processors with instructions for 8 bits (VNNI, or Arm's) add them in
 * 32 bits. Others add two at a time in 16 bits first, where they overflow: those need weights of 7 bits.
 */
export async function weightBits(device: Device): Promise<WeightBits> {
  const x = input('x', [ROWS, INNER]);
  const values = input('values', [INNER, INNER], 'int8');
  const scales = input('scales', [INNER]);
  const bound = {
    values: tensor('int8', [INNER, INNER], new Int8Array(INNER * INNER).fill(127)),
    scales: float32([INNER], new Float32Array(INNER).fill(1 / 127)),
  };
  const program = await device.compile(
    { inputs: [x, values, scales], outputs: { product: byteProduct(roundRows(x), values, scales) } },
    bound,
  );
  const ones = float32([ROWS, INNER], new Float32Array(ROWS * INNER).fill(1));
  const { data } = get(await program.run({ x: ones }), 'product');
  await program.dispose();
  return [...data].every((value) => Math.abs(Number(value) - INNER) < 0.5) ? 8 : 7;
}
