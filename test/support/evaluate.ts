/** @file Running a few symbols on the CPU, and checking gradients against finite differences. */

import { afterAll } from 'vitest';
import { backpropagate } from '../../src/graph/gradient.ts';
import { graphOf } from '../../src/graph/onnx.ts';
import { constant, input, type SymbolicTensor } from '../../src/graph/symbolic.ts';
import type { Feeds } from '../../src/runtime/device.ts';
import { openCpu } from '../../src/runtime/node.ts';
import { Generator } from '../../src/tensor/generator.ts';
import { elementCount, float32, type Tensor } from '../../src/tensor/tensor.ts';

/** A device whose programs are freed when the test file ends. */
const device = openCpu({ threads: 1 });
afterAll(() => device.dispose());

type Runner = (feeds: Feeds) => Promise<Record<string, Tensor>>;

/** Compile outputs; feeds that they do not depend on are left out. */
export async function compiled(outputs: Readonly<Record<string, SymbolicTensor>>): Promise<Runner> {
  const program = await device.compile(graphOf(outputs));
  return (feeds) =>
    program.run(Object.fromEntries(program.inputNames.map((name) => [name, feeds[name]] as const)));
}

/** Compute outputs once. */
export async function evaluate(
  outputs: Readonly<Record<string, SymbolicTensor>>,
  feeds: Feeds = {},
): Promise<Record<string, Tensor>> {
  return (await compiled(outputs))(feeds);
}

/** Multiples of 2^-10 between two bounds: adding a power of two to them is exact in float32. */
export function randomTensor(
  shape: readonly number[],
  seed: number,
  [low, high] = [-1, 1],
): Tensor<'float32'> {
  const steps = Generator.seeded(seed).randint(Math.ceil(low * 1024), high * 1024, elementCount(shape));
  return float32(
    shape,
    steps.map((step) => step / 1024),
  );
}

export function dot(a: Pick<Tensor, 'data'>, b: Pick<Tensor, 'data'>): number {
  let sum = 0;
  for (let i = 0; i < a.data.length; i++) sum += Number(a.data[i]) * Number(b.data[i]);
  return sum;
}

/** Beyond this many elements an input is probed along random directions instead of element by element. */
const MAX_ELEMENTS = 32;
const DIRECTIONS = 6;
const STEP = 2 ** -5;
/** The five-point stencil, whose error is of fourth order: offsets in steps, and weights. */
const STENCIL = [
  [-2, 1 / 12],
  [-1, -8 / 12],
  [1, 8 / 12],
  [2, -1 / 12],
] as const;

function probes(shape: readonly number[], seed: number): Float32Array[] {
  const count = elementCount(shape);
  if (count > MAX_ELEMENTS) {
    const generator = Generator.seeded(seed);
    return Array.from({ length: DIRECTIONS }, () => generator.randn(count).map((v) => v / Math.sqrt(count)));
  }
  return Array.from({ length: count }, (_, i) => {
    const unit = new Float32Array(count);
    unit[i] = 1;
    return unit;
  });
}

/**
 * How far the gradients of a function are from finite differences, for each of its float inputs, over the largest
 * difference met. The scalar that is differentiated is a random projection of all outputs.
 */
export async function gradientErrors(
  feeds: Feeds,
  build: (symbols: Record<string, SymbolicTensor>) => readonly SymbolicTensor[],
): Promise<Record<string, number>> {
  const symbols = Object.fromEntries(
    Object.entries(feeds).map(([name, { shape, dtype }]) => [name, input(name, shape, dtype as 'float32')]),
  );
  const outputs = build(symbols);
  const projections = outputs.map(({ shape }, i) => randomTensor(shape.map(Number), 100 + i));
  const forward = await compiled(Object.fromEntries(outputs.map((output, i) => [`output${i}`, output])));
  const names = Object.keys(feeds).filter((name) => feeds[name].dtype === 'float32');
  const gradients = backpropagate(
    outputs.map((output, i) => ({ output, gradient: constant(projections[i]) })),
    names.map((name) => symbols[name]),
  );
  const analytic = await evaluate(
    Object.fromEntries(names.map((name, i) => [`d.${name}`, gradients[i]])),
    feeds,
  );
  const loss = async (changed: Feeds): Promise<number> => {
    const results = await forward({ ...feeds, ...changed });
    return projections.reduce((sum, projection, i) => sum + dot(results[`output${i}`], projection), 0);
  };
  const errors: Record<string, number> = {};
  for (const name of names) {
    const { shape, data } = feeds[name] as Tensor<'float32'>;
    const gradient = analytic[`d.${name}`];
    if (gradient.shape.join() !== shape.join()) {
      throw new Error(`gradient of ${name} has shape [${gradient.shape}] instead of [${shape}]`);
    }
    let worst = 0;
    let largest = 0;
    for (const direction of probes(shape, 7)) {
      let slope = 0;
      for (const [offset, weight] of STENCIL) {
        const moved = data.map((value, i) => value + offset * STEP * direction[i]);
        slope += (weight / STEP) * (await loss({ [name]: float32(shape, moved) }));
      }
      const error = Math.abs(slope - dot(gradient, { data: direction }));
      if (!(error <= worst)) worst = error;
      largest = Math.max(largest, Math.abs(slope));
    }
    errors[name] = worst / Math.max(largest, 1e-3);
  }
  return errors;
}
