/** @file The blocks that a block attends to while it is made. */

import { skipCausal } from '../../../src/models/acdit/attention-plan.ts';

/** Returns the finished blocks that block `block` of `blocks` attends to. It attends to itself too. */
export function attendedBlocks(block: number, blocks: number, window = blocks): number[] {
  const attends = skipCausal(blocks);
  return Array.from({ length: blocks }, (_, key) => key).filter(
    (key) => attends(blocks + block, key) && key >= block - window,
  );
}

/** Says in words what a block attends to. */
export function describeAttention(block: number, attended: readonly number[]): string {
  const own = `Block ${block + 1} attends to itself`;
  if (attended.length === 0) return `${own} only: nothing is finished yet.`;
  const numbers = attended.map((index) => index + 1);
  const range = numbers.length === 1 ? `block ${numbers[0]}` : `blocks ${numbers[0]} to ${numbers.at(-1)}`;
  return `${own} and the finished ${range}.`;
}
