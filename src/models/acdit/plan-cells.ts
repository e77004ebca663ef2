/** @file An attention plan block by block, as it is drawn. */

import {
  type AttentionPlan,
  type BlockPredicate,
  blockCausal,
  compilePlan,
  full,
  planCost,
  skipCausal,
  windowed,
} from './attention-plan.ts';
import type { AcditConfig } from './config.ts';

export const PREDICATES = ['scam', 'full', 'block-causal', 'windowed'] as const;
export type PredicateName = (typeof PREDICATES)[number];

/** A plan over equal blocks. */
export interface BlockPlan {
  readonly predicate: PredicateName;
  readonly plan: AttentionPlan;
  readonly blockSize: number;
  /** Blocks in the sequence. */
  readonly blocks: number;
  /** The first of them that are clean ones; 0 if blocks come only once. */
  readonly clean: number;
}

/**
 * The plan of a model's training sequence. SCAM's holds each block clean, but for the last, and noised; the other
 * predicates' holds each block once.
 */
export function blockPlan(
  { blocks, blockSize }: AcditConfig,
  predicate: PredicateName,
  window: number,
): BlockPlan {
  const clean = predicate === 'scam' ? blocks - 1 : 0;
  const predicates: Record<PredicateName, BlockPredicate> = {
    scam: skipCausal(clean),
    full,
    'block-causal': blockCausal,
    windowed: windowed(window),
  };
  const total = clean + blocks;
  const plan = compilePlan(total, blockSize, predicates[predicate]);
  return { predicate, plan, blockSize, blocks: total, clean };
}

/** What happens to the pairs of a query block and a key block. */
export const CELL = { skipped: 0, masked: 1, attended: 2 } as const;

/** (blocks, blocks) row-major: for each pair of blocks one of {@link CELL}. */
export function planCells({ plan, blockSize, blocks }: BlockPlan): Uint8Array {
  const cells = new Uint8Array(blocks * blocks);
  for (const { queries, keys, allowed } of plan.tiles) {
    const width = keys.reduce((sum, { start, end }) => sum + end - start, 0);
    for (let query = queries.start; query < queries.end; query += blockSize) {
      let column = 0;
      for (const { start, end } of keys) {
        for (let key = start; key < end; key += blockSize, column += blockSize) {
          const attended = !allowed || allowed[(query - queries.start) * width + column] === 1;
          cells[(query / blockSize) * blocks + key / blockSize] = attended ? CELL.attended : CELL.masked;
        }
      }
    }
  }
  return cells;
}

/** What a plan costs, in pairs of a query and a key. */
export function planNumbers({ plan }: BlockPlan) {
  const { computed, needed } = planCost(plan);
  return { tiles: plan.tiles.length, computed, needed, dense: plan.tokens ** 2 };
}
