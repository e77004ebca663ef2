/** @file An attention plan as text. */

import { uint8At } from '../../at.ts';
import { counted, grouped } from '../../io/quantities.ts';
import { type BlockPlan, CELL, planCells, planNumbers } from './plan-cells.ts';

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
