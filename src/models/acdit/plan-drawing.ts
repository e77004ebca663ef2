/** @file An attention plan as an SVG drawing: rows are queries, columns are keys, outlines are the dense products. */

import { type BlockPlan, CELL, planCells } from './plan-cells.ts';

/** How a drawing looks: its colours and its letters. */
export interface PlanStyle {
  /** Returns the colour of something as an attribute of SVG. */
  color(name: 'attended' | 'masked' | 'skipped' | 'outline' | 'text'): string;
  /** Returns a line of text, vertically centred at y; `upwards` turns it to read from below. */
  text(
    content: string,
    x: number,
    y: number,
    options?: { readonly anchor?: 'start' | 'middle'; readonly upwards?: boolean },
  ): string;
}

const SIDE = 384;
const MARGIN = { left: 64, top: 60, right: 12, bottom: 66 } as const;
/** More blocks than this are not numbered. */
const MAX_NUMBERS = 20;

/** Draws a plan as SVG elements, and returns these and their size in pixels. */
export function planDrawing(plan: BlockPlan, style: PlanStyle) {
  const { color } = style;
  return {
    width: MARGIN.left + SIDE + MARGIN.right,
    height: MARGIN.top + SIDE + MARGIN.bottom,
    body: [
      ...axes(plan, style),
      `<g transform="translate(${MARGIN.left} ${MARGIN.top})" shape-rendering="crispEdges">`,
      rect(0, 0, SIDE, SIDE, { fill: color('skipped') }),
      `<g transform="scale(${SIDE / plan.blocks})">`,
      rects(runs(plan, CELL.masked), color('masked')),
      rects(runs(plan, CELL.attended), color('attended')),
      '</g>',
      ...tiles(plan, style),
      ...divider(plan, style),
      '</g>',
      ...legend(plan, style),
    ],
  };
}

/** Returns a rectangle, filled or outlined. */
export function rect(
  x: number,
  y: number,
  width: number,
  height: number,
  { fill = 'none', stroke }: { readonly fill?: string | undefined; readonly stroke?: string | undefined },
): string {
  const outline = stroke === undefined ? '' : ` stroke="${stroke}" stroke-width="1.5"`;
  return `<rect x="${round(x)}" y="${round(y)}" width="${round(width)}" height="${round(height)}" fill="${fill}"${outline}/>`;
}

/** Returns a number with as many digits as a drawing needs. */
export function round(value: number): number {
  return Number(value.toFixed(2));
}

type Run = readonly [x: number, y: number, width: number, height: number];

/** Returns one path for many small rectangles: fewer bytes than an element each. */
function rects(runs: readonly Run[], fill: string): string {
  const path = runs.map(([x, y, width, height]) => `M${x} ${y}h${width}v${height}h${-width}z`).join('');
  return `<path fill="${fill}" d="${path}"/>`;
}

/** Neighbouring equal cells of a row, in blocks. */
function runs(plan: BlockPlan, wanted: number): Run[] {
  const cells = planCells(plan);
  const found: Run[] = [];
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

function tiles({ plan }: BlockPlan, { color }: PlanStyle): string[] {
  const scale = SIDE / plan.tokens;
  return plan.tiles.flatMap(({ queries, keys }) =>
    keys.map(({ start, end }) => {
      const [width, height] = [(end - start) * scale, (queries.end - queries.start) * scale];
      return rect(start * scale, queries.start * scale, width, height, { stroke: color('outline') });
    }),
  );
}

/** Returns the lines between clean and noised blocks. */
function divider({ clean, blocks }: BlockPlan, { color }: PlanStyle): string[] {
  if (clean === 0) return [];
  const at = (clean * SIDE) / blocks;
  const style = `fill="none" stroke="${color('text')}" stroke-width="2" stroke-dasharray="2 5"`;
  return [`<path ${style} d="M${at} 0V${SIDE}M0 ${at}H${SIDE}"/>`];
}

/** Returns the names of the parts of the sequence, and the numbers of the blocks. */
function axes(plan: BlockPlan, { text }: PlanStyle): string[] {
  const { blocks, clean } = plan;
  const size = SIDE / blocks;
  const part = (kind: string, start: number, end: number): string[] => {
    const middle = ((start + end) / 2) * size;
    const numbers = blocks > MAX_NUMBERS ? 0 : end - start;
    return [
      text(`${kind}keys`, MARGIN.left + middle, 16, { anchor: 'middle' }),
      text(`${kind}queries`, 16, MARGIN.top + middle, { anchor: 'middle', upwards: true }),
      ...Array.from({ length: numbers }, (_, number) => {
        const at = (start + number + 0.5) * size;
        return [
          text(String(number), MARGIN.left + at, MARGIN.top - 16, { anchor: 'middle' }),
          text(String(number), MARGIN.left - 16, MARGIN.top + at, { anchor: 'middle' }),
        ];
      }).flat(),
    ];
  };
  return clean > 0 ? [...part('clean ', 0, clean), ...part('noised ', clean, blocks)] : part('', 0, blocks);
}

function legend(plan: BlockPlan, { color, text }: PlanStyle): string[] {
  const shown = new Set(planCells(plan));
  const entries = [
    ['attended', { fill: color('attended') }, CELL.attended],
    ['computed, then masked', { fill: color('masked') }, CELL.masked],
    ['not computed', { fill: color('skipped') }, CELL.skipped],
    ['tile', { stroke: color('outline') }, CELL.attended],
  ] as const;
  return entries
    .filter(([, , cell]) => shown.has(cell))
    .flatMap(([name, paint], index) => {
      const x = MARGIN.left + (index % 2) * 200;
      const y = MARGIN.top + SIDE + 14 + Math.floor(index / 2) * 24;
      return [rect(x, y, 14, 14, paint), text(name, x + 22, y + 7)];
    });
}
