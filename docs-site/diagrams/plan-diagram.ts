/** @file An attention plan as a drawing: rows are queries, columns are keys, outlines are the dense products. */

import { type BlockPlan, CELL, planCells, planParts } from '../../src/cli/plan-cells.ts';
import { color } from './palette.ts';
import { type Drawing, rect, rects, text } from './svg.ts';

const SIDE = 384;
const MARGIN = { left: 64, top: 60, right: 12, bottom: 66 } as const;
/** More blocks than this are not numbered. */
const MOST_NUMBERS = 20;

export function planDiagram(plan: BlockPlan): Drawing {
  return {
    width: MARGIN.left + SIDE + MARGIN.right,
    height: MARGIN.top + SIDE + MARGIN.bottom,
    body: [
      ...axes(plan),
      `<g transform="translate(${MARGIN.left} ${MARGIN.top})" shape-rendering="crispEdges">`,
      rect(0, 0, SIDE, SIDE, { fill: 'skipped' }),
      `<g transform="scale(${SIDE / plan.blocks})">`,
      rects(runs(plan, CELL.masked), 'masked'),
      rects(runs(plan, CELL.attended), 'attended'),
      '</g>',
      ...tiles(plan),
      ...divider(plan),
      '</g>',
      ...legend(plan),
    ],
  };
}

/** Neighbouring equal cells of a row, in blocks. */
function runs(plan: BlockPlan, wanted: number): [x: number, y: number, width: number, height: number][] {
  const cells = planCells(plan);
  const found: [number, number, number, number][] = [];
  for (let row = 0; row < plan.blocks; row++) {
    for (let start = 0; start < plan.blocks; ) {
      let end = start;
      while (end < plan.blocks && cells[row * plan.blocks + end] === wanted) end++;
      if (end > start) found.push([start, row, end - start, 1]);
      start = end + 1;
    }
  }
  return found;
}

function tiles({ plan }: BlockPlan): string[] {
  const scale = SIDE / plan.tokens;
  return plan.tiles.flatMap(({ queries, keys }) =>
    keys.map(({ start, end }) =>
      rect(
        start * scale,
        queries.start * scale,
        (end - start) * scale,
        (queries.end - queries.start) * scale,
        {
          stroke: 'outline',
        },
      ),
    ),
  );
}

/** Between clean and noised blocks. */
function divider({ clean, blocks }: BlockPlan): string[] {
  if (clean === 0) return [];
  const at = (clean * SIDE) / blocks;
  const style = `fill="none" stroke="${color('text')}" stroke-width="2" stroke-dasharray="2 5"`;
  return [`<path ${style} d="M${at} 0V${SIDE}M0 ${at}H${SIDE}"/>`];
}

/** Names of the parts of the sequence, and numbers of the blocks. */
function axes(plan: BlockPlan): string[] {
  const size = SIDE / plan.blocks;
  return planParts(plan, MOST_NUMBERS).flatMap(({ name, start, end, numbers }) => {
    const middle = ((start + end) / 2) * size;
    const kind = name === 'blocks' ? '' : `${name} `;
    return [
      text(`${kind}keys`, MARGIN.left + middle, 16, { anchor: 'middle' }),
      text(`${kind}queries`, 16, MARGIN.top + middle, { anchor: 'middle', upwards: true }),
      ...numbers.flatMap((number) => {
        const at = (start + number + 0.5) * size;
        return [
          text(String(number), MARGIN.left + at, MARGIN.top - 16, { anchor: 'middle' }),
          text(String(number), MARGIN.left - 16, MARGIN.top + at, { anchor: 'middle' }),
        ];
      }),
    ];
  });
}

function legend(plan: BlockPlan): string[] {
  const shown = new Set(planCells(plan));
  const entries = [
    ['attended', { fill: 'attended' }, CELL.attended],
    ['computed, then masked', { fill: 'masked' }, CELL.masked],
    ['not computed', { fill: 'skipped' }, CELL.skipped],
    ['tile', { stroke: 'outline' }, CELL.attended],
  ] as const;
  return entries
    .filter(([, , cell]) => shown.has(cell))
    .flatMap(([name, paint], index) => {
      const x = MARGIN.left + (index % 2) * 200;
      const y = MARGIN.top + SIDE + 14 + Math.floor(index / 2) * 24;
      return [rect(x, y, 14, 14, paint), text(name, x + 22, y + 7)];
    });
}
