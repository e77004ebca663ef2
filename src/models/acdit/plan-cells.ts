/** @file An attention plan block by block, as it is drawn, and as text. */

import { uint8At } from '../../at.ts';
import { counted, grouped } from '../../io/quantities.ts';
import { attentionOf, cleanBlocks, describeAttention, sequencePredicate } from './attention.ts';
import { type AttentionPlan, compilePlan, planCost } from './attention-plan.ts';
import type { AcditConfig } from './config.ts';

/** A plan over equal blocks. */
export interface BlockPlan {
  /** The attention of the model in a few words. */
  readonly predicate: string;
  readonly plan: AttentionPlan;
  readonly blockSize: number;
  /** Blocks in the sequence. */
  readonly blocks: number;
  /** The first of them that are clean ones; 0 if blocks come only once. */
  readonly clean: number;
}

/** The plan of a model's training sequence, which has clean blocks only if others attend them. */
export function blockPlan(config: AcditConfig): BlockPlan {
  const { blockSize, attention } = config;
  const clean = cleanBlocks(config);
  const blocks = clean + config.blocks;
  const plan = compilePlan(blocks, blockSize, sequencePredicate(attentionOf(config), clean));
  return { predicate: describeAttention(attention), plan, blockSize, blocks, clean };
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

/** Rows and columns that fit on a screen; larger plans are drawn with several blocks a cell. */
const MAX_CELLS = 48;

const LEGEND = '# attended   + attended in part   o computed, then masked   . not computed';

/** Rows are queries, columns are keys. */
export function planText(blockPlan: BlockPlan): string {
  const { blocks, clean } = blockPlan;
  const perCell = Math.ceil(blocks / MAX_CELLS);
  const cells = planCells(blockPlan);
  const groups = [...cellGroups(0, clean, perCell), ...cellGroups(clean, blocks, perCell)];
  const rows = groups.map((queries, i) => {
    const symbols = groups.map((keys, j) => {
      const gap = keys.start === clean && j > 0 ? '  ' : ' ';
      return gap + cellSymbol(cells, blocks, queries, keys);
    });
    const blank = queries.start === clean && i > 0 ? '\n' : '';
    return `${blank}${rowName(queries, clean).padStart(16)} ${symbols.join('')}`;
  });
  return [headline(blockPlan), '', ...rows, '', LEGEND].join('\n');
}

/** Title and numbers of a plan. */
export function headline(blockPlan: BlockPlan): string {
  const { predicate, blocks, clean, blockSize } = blockPlan;
  const { tiles, computed, needed, dense } = planNumbers(blockPlan);
  const sequence =
    clean > 0 ? `${clean} clean and ${blocks - clean} noised blocks` : counted(blocks, 'block');
  return [
    `attention plan ${predicate}: ${sequence} of ${blockSize} tokens, ${counted(tiles, 'tile')}`,
    `${grouped(computed)} of ${grouped(dense)} pairs computed (${percent(computed, dense)}), ` +
      `${percent(needed, computed)} of them needed`,
  ].join('\n');
}

function percent(part: number, whole: number): string {
  return `${((100 * part) / whole).toFixed(1)}%`;
}

interface Blocks {
  readonly start: number;
  readonly end: number;
}

function cellGroups(start: number, end: number, perCell: number): Blocks[] {
  return Array.from({ length: Math.ceil((end - start) / perCell) }, (_, i) => ({
    start: start + i * perCell,
    end: Math.min(start + (i + 1) * perCell, end),
  }));
}

function rowName({ start, end }: Blocks, clean: number): string {
  const isClean = start < clean;
  const offset = isClean ? 0 : clean;
  const kind = clean === 0 ? 'block' : isClean ? 'clean' : 'noised';
  const last = end - 1 > start ? `-${end - 1 - offset}` : '';
  return `${kind} ${start - offset}${last}`;
}

function cellSymbol(cells: Uint8Array, blocks: number, queries: Blocks, keys: Blocks): string {
  const kinds = new Set<number>();
  for (let query = queries.start; query < queries.end; query++) {
    for (let key = keys.start; key < keys.end; key++) kinds.add(uint8At(cells, query * blocks + key));
  }
  if (kinds.has(CELL.attended)) return kinds.size > 1 ? '+' : '#';
  return kinds.has(CELL.masked) ? 'o' : '.';
}
