/** @file How fast a device multiplies by weights of a model, in several precisions. */

import { at } from '../at.ts';
import { graphOf } from '../graph/onnx.ts';
import { linear } from '../graph/operators/index.ts';
import { input } from '../graph/symbolic.ts';
import type { AcditConfig } from '../models/acdit/config.ts';
import type { Device, Program } from '../runtime/device.ts';
import { type Precision, preparation } from '../sampling/precision.ts';
import { float32, type Tensor } from '../tensor/tensor.ts';

/** Milliseconds, unless the caller gives them. */
const DURATION = 250;
/** Two rows of blocks, as guidance has them, but no more than this many tokens. */
const MOST_TOKENS = 512;

/**
 * Times the widest product of a layer in each precision, in turns, so that other load on the machine slows all equally.
 * @param duration milliseconds of the measurement of a precision, without the first run
 * @returns multiply-adds per second, from the medians, in the order of the precisions
 */
export async function productSpeeds<const P extends readonly Precision[]>(
  device: Device,
  precisions: P,
  { blockSize, hidden, mlpRatio }: AcditConfig,
  duration = DURATION,
): Promise<{ readonly [K in keyof P]: number }> {
  const [tokens, wide] = [Math.min(2 * blockSize, MOST_TOKENS), mlpRatio * hidden];
  const x = regularTensor([tokens, hidden]);
  const weight = regularTensor([wide, hidden]);
  const kinds = new Map<Precision, { readonly program: Program; readonly times: number[] }>();
  for (const precision of new Set(precisions)) {
    const program = await compileProduct(device, precision, tokens, weight);
    await program.run({ x });
    kinds.set(precision, { program, times: [] });
  }
  const start = performance.now();
  do {
    for (const { program, times } of kinds.values()) {
      const began = performance.now();
      await program.run({ x });
      times.push(performance.now() - began);
    }
  } while (performance.now() - start < duration * kinds.size);
  for (const { program } of kinds.values()) await program.dispose();
  const speedOf = (precision: Precision): number => {
    const times = kinds.get(precision)!.times.toSorted((a, b) => a - b);
    return (1000 * tokens * hidden * wide) / at(times, Math.floor(times.length / 2));
  };
  return precisions.map(speedOf) as { [K in keyof P]: number };
}

async function compileProduct(
  device: Device,
  precision: Precision,
  tokens: number,
  weight: Tensor<'float32'>,
): Promise<Program> {
  const name = 'blocks.0.weight'; // products of layers are those that precisions change
  const x = input('x', [tokens, at(weight.shape, 1)]);
  const graph = graphOf({ y: linear(x, input(name, weight.shape)) });
  const prepare = await preparation(device, precision);
  const prepared = prepare({ graph, weights: { [name]: weight } });
  return device.compile(prepared.graph, prepared.weights);
}

function regularTensor(shape: readonly [number, number]): Tensor<'float32'> {
  const values = { length: shape[0] * shape[1] };
  return float32(
    shape,
    Float32Array.from(values, (_, i) => (i % 17) / 17 - 0.5),
  );
}
