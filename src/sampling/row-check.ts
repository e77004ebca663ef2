/**
 * @file Checks whether calls may share a pass. Segments process each row on its own, so a group's result should not
 * depend on others in its pass. But that depends on the processor's kernels: one may round a row differently if the
 * number of rows changes. So each number of groups is tested once, before calls first share a pass of that many.
 */

import type { Feeds, Program } from '../runtime/device.ts';
import { Generator } from '../tensor/generator.ts';
import { elementCount, float32, type Tensor, tensorBytes } from '../tensor/tensor.ts';
import type { Workspace } from './workspace.ts';

/** Checks whether a segment gives each of so many groups the same bits as one group alone. */
export type RowCheck = (groups: number) => Promise<boolean>;

/** @param shapes a workspace, for the shapes of the segment's inputs */
export function createRowCheck(segment: Program, shapes: Workspace): RowCheck {
  const known = new Map<number, boolean>();
  const inputs = segment.inputNames.map((name) => [name, randomGroup(name, shapes)] as const);

  async function check(groups: number): Promise<boolean> {
    const feeds = (count: number): Feeds =>
      Object.fromEntries(inputs.map(([name, group]) => [name, repeated(group, count)]));
    const alone = await segment.run(feeds(1));
    const together = await segment.run(feeds(groups));
    return segment.outputNames.every((name) => {
      const expected = tensorBytes(alone[name]);
      const all = tensorBytes(together[name]);
      return all.every((byte, i) => byte === expected[i % expected.length]);
    });
  }

  return async (groups) => {
    const result = known.get(groups) ?? (await check(groups));
    known.set(groups, result);
    return result;
  };
}

/** Returns a group's values of an input, (1, ...). */
function randomGroup(name: string, shapes: Workspace): Tensor<'float32'> {
  const inner = sizesOf(name, shapes);
  return float32([1, ...inner], new Generator(1).randn(elementCount(inner)));
}

/** @param name of an input; those of a layer end in its number */
function sizesOf(name: string, { blocks, modulations, ...others }: Workspace): readonly number[] {
  const all: Record<string, Tensor> = { ...others, hidden: blocks[0], modulation: modulations[0] };
  return all[name.replace(/\.\d+$/, '')].shape.slice(1);
}

function repeated({ shape: [, ...inner], data }: Tensor<'float32'>, count: number): Tensor<'float32'> {
  const out = new Float32Array(count * data.length);
  for (let i = 0; i < count; i++) out.set(data, i * data.length);
  return float32([count, ...inner], out);
}
