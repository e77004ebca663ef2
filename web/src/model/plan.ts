/** @file The blocks that a block attends to while it is made. */

import { type AttentionSetting, attentionOf } from '../../../src/models/acdit/attention.ts';

/** Whose blocks attend each other. */
export interface Attending {
  readonly blocks: number;
  readonly attention?: AttentionSetting;
  /** Max finished blocks that a block attends (default: all). */
  readonly window?: number;
}

/** Returns the other blocks that a block attends to: finished ones, or all if the model makes them together. */
export function attendedBlocks(block: number, { blocks, window, ...model }: Attending): number[] {
  const { together, before } = attentionOf(model);
  if (!together) return before({ block, clean: false }, window);
  return Array.from({ length: blocks }, (_, other) => other).filter((other) => other !== block);
}

/** Says in words what a plan shows. */
export function describePlan(model: Attending): string {
  const attended = attentionOf(model).together
    ? 'all blocks, which are made together'
    : 'finished blocks and itself';
  return `Each row is a block being made; filled cells are what it attends to: ${attended}.`;
}

/** Says in words what a block attends to. */
export function describeAttention(block: number, model: Attending): string {
  const attended = attendedBlocks(block, model);
  const own = `Block ${block + 1} attends to itself`;
  if (attended.length === 0) return `${own} only${block === 0 ? ': nothing is finished yet' : ''}.`;
  if (attentionOf(model).together) return `${own} and all others, which are made together.`;
  const numbers = attended.map((index) => index + 1);
  const [first, last] = [numbers[0] ?? 0, numbers.at(-1) ?? 0];
  const range = last - first + 1 === numbers.length ? `${first} to ${last}` : numbers.join(', ');
  return `${own} and the finished ${numbers.length === 1 ? `block ${first}` : `blocks ${range}`}.`;
}
