/** @file How the cache grows, block by block: what a noised block attends in SCAM's plan is what sampling keeps. */

import { type BlockPlan, CELL, planCells } from '../../src/models/acdit/plan-cells.ts';
import { color } from './palette.ts';
import { type Drawing, rect, text } from './svg.ts';

const CELL_SIZE = { width: 70, height: 44 } as const;
const GAP = { x: 6, y: 34 } as const;
const LEFT = 66;
const TOP = 52;
const RIGHT = 176;

/** @param plan SCAM's, with clean and noised blocks. */
export function cacheDiagram(plan: BlockPlan): Drawing {
  const noised = plan.blocks - plan.clean;
  const rows = Array.from({ length: noised }, (_, block) => attendedBy(plan, block));
  return {
    width: LEFT + noised * (CELL_SIZE.width + GAP.x) + RIGHT,
    height: TOP + noised * (CELL_SIZE.height + GAP.y) + 20,
    body: [
      `<defs><marker id="arrow" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="7" markerHeight="7" orient="auto"><path d="M0 0L8 4L0 8z" fill="${color('text')}"/></marker></defs>`,
      text('block, and what it attends', 4, 18),
      ...rows.flatMap((row, block) => drawRow(row, block, plan.blockSize, block + 1 < noised)),
      ...legend(TOP + noised * (CELL_SIZE.height + GAP.y)),
    ],
  };
}

/** What a noised block sees: numbers of clean blocks, and whether it sees itself. */
function attendedBy(plan: BlockPlan, block: number): { clean: number[]; itself: boolean } {
  const row = plan.clean + block;
  const cells = planCells(plan).subarray(row * plan.blocks, (row + 1) * plan.blocks);
  const attended = [...cells].flatMap((cell, key) => (cell === CELL.attended ? [key] : []));
  return { clean: attended.filter((key) => key < plan.clean), itself: attended.includes(row) };
}

function drawRow(
  { clean, itself }: { clean: number[]; itself: boolean },
  block: number,
  blockSize: number,
  isAppended: boolean,
): string[] {
  const y = TOP + block * (CELL_SIZE.height + GAP.y);
  const middle = y + CELL_SIZE.height / 2;
  const xOf = (index: number) => LEFT + index * (CELL_SIZE.width + GAP.x);
  const cell = (index: number, kind: 'cached' | 'noised', name: string) => [
    rect(xOf(index), y, CELL_SIZE.width, CELL_SIZE.height, { fill: kind }),
    text(name, xOf(index) + CELL_SIZE.width / 2, middle, { anchor: 'middle', fill: 'cellText' }),
  ];
  const own = xOf(clean.length) + CELL_SIZE.width / 2;
  const arrow = `<path d="M${own} ${y + CELL_SIZE.height + 2}V${y + CELL_SIZE.height + GAP.y - 3}" stroke="${color('text')}" stroke-width="1.5" fill="none" marker-end="url(#arrow)"/>`;
  return [
    text(`block ${block}`, 4, middle),
    ...clean.flatMap((key) => cell(key, 'cached', `clean ${key}`)),
    ...(itself ? cell(clean.length, 'noised', `noised ${block}`) : []),
    text(
      `${(clean.length * blockSize).toLocaleString('en')} tokens cached`,
      xOf(clean.length + 1) + 8,
      middle,
    ),
    ...(isAppended
      ? [arrow, text('finished: appended', own + 12, y + CELL_SIZE.height + GAP.y / 2, { size: 14 })]
      : []),
  ];
}

function legend(y: number): string[] {
  return [
    rect(4, y, 14, 14, { fill: 'cached' }),
    text('keys and values from the cache', 26, y + 7),
    rect(290, y, 14, 14, { fill: 'noised' }),
    text('computed at each step', 312, y + 7),
  ];
}
