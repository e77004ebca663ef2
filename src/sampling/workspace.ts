/** @file What passes from segment to segment: scratch memory for it, and the check whether rows may share a pass. */

import { get } from '../at.ts';
import type { AcditConfig } from '../models/acdit/config.ts';
import { rowsOf } from '../models/acdit/weights.ts';
import { mapValues } from '../records.ts';
import type { Feeds, Program } from '../runtime/device.ts';
import { joinAxis } from '../tensor/axes.ts';
import { Generator } from '../tensor/generator.ts';
import { elementCount, float32, type Tensor, tensorBytes, zeros } from '../tensor/tensor.ts';
import { rowShapes } from './graphs.ts';

/** Tensors (rows, ...) of the {@link rowShapes}. */
export type Buffers = Readonly<Record<keyof ReturnType<typeof rowShapes>, Tensor<'float32'>>>;

/**
 * The buffers of even layers, and those of odd layers: the same, except that a segment reads one layer's hidden vectors and
 * modulations while it writes the next one's. Every pass uses them again: fresh memory costs one page fault per 4 KB.
 */
export type Workspace = readonly [even: Buffers, odd: Buffers];

export function createWorkspace(config: AcditConfig, rows: number): Workspace {
  const allocate = (): Buffers => mapValues(rowShapes(config), (shape) => zeros('float32', [rows, ...shape]));
  const even = allocate();
  const { hidden, modulation } = allocate();
  return [even, { ...even, hidden, modulation }];
}

/** Returns the same memory as a workspace of fewer rows. */
export function firstRows([even, odd]: Workspace, rows: number): Workspace {
  const first = (buffers: Buffers): Buffers => mapValues(buffers, (buffer) => rowsOf(buffer, 0, rows));
  return [first(even), first(odd)];
}

/**
 * Makes a check whether a segment gives each of a number of rows the same bits as one row alone. It processes each row
 * on its own, so a row's result should not depend on the others. But a processor's kernels may round a row differently
 * if the number of rows changes. So each number of rows is tested once, before calls first share a pass of that many.
 */
export function createRowCheck(config: AcditConfig, segment: Program): (rows: number) => Promise<boolean> {
  const known = new Map<number, boolean>();
  const inputs = segment.inputNames.map((name) => [name, randomRow(config, name)] as const);

  async function check(rows: number): Promise<boolean> {
    const feeds = (count: number): Feeds =>
      Object.fromEntries(
        inputs.map(([name, row]) => [name, joinAxis(Array<typeof row>(count).fill(row), 0)] as const),
      );
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

/** Returns random values of an input, (1, ...). @param name those of a layer end in its number */
function randomRow(config: AcditConfig, name: string): Tensor<'float32'> {
  const shape = get<number[]>(rowShapes(config), name.replace(/\.\d+$/, ''));
  return float32([1, ...shape], new Generator(1).randn(elementCount(shape)));
}
