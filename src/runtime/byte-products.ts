/** @file What a processor makes of products in 8 bits: how many bits of a weight it multiplies rightly, and how fast. */

import { get } from '../at.ts';
import { DeviceError } from '../errors.ts';
import { type Graph, graphOf } from '../graph/onnx.ts';
import { linear } from '../graph/operators/index.ts';
import { byteProduct, quantizeProducts, roundRows, type WeightBits } from '../graph/quantize.ts';
import { input } from '../graph/symbolic.ts';
import { Generator } from '../tensor/generator.ts';
import { float32, tensor } from '../tensor/tensor.ts';
import type { Device, Feeds, Program } from './device.ts';

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

/** Runs of each kind; the quickest counts. */
const RUNS = 5;

/** Times the product of (rows, C) and (4 C, C), the widest of a layer, in float32 and in 8 bits, in turns: milliseconds. */
export async function timeProducts(device: Device, rows: number, hidden: number) {
  const generator = new Generator(1);
  const weight = float32([4 * hidden, hidden], generator.randn(4 * hidden ** 2));
  const symbols = [input('x', [rows, hidden]), input('weight', [4 * hidden, hidden])] as const;
  const exact = { graph: graphOf({ y: linear(...symbols) }), weights: { weight } };
  // Bits make no difference to the time.
  const rounded = quantizeProducts(exact, { bits: 8, isExact: () => false });
  const compile = ({ graph, weights }: { graph: Graph; weights: Feeds }): Promise<Program> =>
    device.compile(graph, weights);
  const programs = { fp32: await compile(exact), int8: await compile(rounded) };
  const x = float32([rows, hidden], generator.randn(rows * hidden));
  const times = { fp32: Number.POSITIVE_INFINITY, int8: Number.POSITIVE_INFINITY };
  for (let run = 0; run < RUNS; run++) {
    for (const kind of ['fp32', 'int8'] as const) {
      const start = performance.now();
      await programs[kind].run({ x });
      times[kind] = Math.min(times[kind], performance.now() - start);
    }
  }
  for (const program of Object.values(programs)) await program.dispose();
  return times;
}
