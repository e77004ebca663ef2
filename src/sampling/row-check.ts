/**
 * @file Checks whether calls may share a pass. Segments process each row on its own, so its result should not depend on
 * others in its pass. But that depends on the processor's kernels: one may round a row differently if the number of rows
 * changes. So each number of rows is tested once, before calls first share a pass of that many.
 */

import { get } from '../at.ts';
import type { Feeds, Program } from '../runtime/device.ts';
import { Generator } from '../tensor/generator.ts';
import { elementCount, float32, type Tensor, tensorBytes } from '../tensor/tensor.ts';
import type { Workspace } from './workspace.ts';

/**
 * Makes a check whether a segment gives each of so many rows the same bits as one row alone.
 * @param shapes a workspace, for the shapes of the segment's inputs
 */
export function createRowCheck(segment: Program, shapes: Workspace): (rows: number) => Promise<boolean> {
  const known = new Map<number, boolean>();
  const inputs = segment.inputNames.map((name) => [name, randomRow(name, shapes)] as const);

  async function check(rows: number): Promise<boolean> {
    const feeds = (count: number): Feeds =>
      Object.fromEntries(inputs.map(([name, row]) => [name, repeated(row, count)]));
    const alone = await segment.run(feeds(1));
    const together = await segment.run(feeds(rows));
    return segment.outputNames.every((name) => {
      const expected = tensorBytes(get(alone, name));
      const all = tensorBytes(get(together, name));
      return all.every((byte, i) => byte === expected[i % expected.length]);
    });
  }

  return async (rows) => {
    const result = known.get(rows) ?? (await check(rows));
    known.set(rows, result);
    return result;
  };
}

/** Returns random values of an input, (1, ...). */
function randomRow(name: string, shapes: Workspace): Tensor<'float32'> {
  const inner = sizesOf(name, shapes);
  return float32([1, ...inner], new Generator(1).randn(elementCount(inner)));
}

/** @param name of an input; those of a layer end in its number */
function sizesOf(name: string, { hidden, modulation, ...others }: Workspace): readonly number[] {
  const all: Record<string, Tensor> = { ...others, hidden: hidden[0], modulation: modulation[0] };
  return get(all, name.replace(/\.\d+$/, '')).shape.slice(1);
}

function repeated({ shape: [, ...inner], data }: Tensor<'float32'>, count: number): Tensor<'float32'> {
  const out = new Float32Array(count * data.length);
  for (let i = 0; i < count; i++) out.set(data, i * data.length);
  return float32([count, ...inner], out);
}
