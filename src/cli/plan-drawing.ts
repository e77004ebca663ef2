/** @file An attention plan as an SVG drawing, with text drawn from the built-in font: it needs no font installed. */

import { textImage } from '../media/text.ts';
import { type BlockPlan, CELL, planCells, planParts } from './plan-cells.ts';
import { headline } from './plan-text.ts';

/** Side of the matrix in pixels, and room around it. */
const SIDE = 640;
const MARGIN = { left: 96, top: 112, right: 24, bottom: 72 } as const;
/** More blocks than this are not numbered. */
const MOST_NUMBERS = 40;

const COLORS = {
  skipped: '#f1f3f5',
  masked: '#f4b183',
  attended: '#2f6db3',
  tile: '#14273d',
  text: '#1b1f23',
  divider: '#d6336c',
} as const;

/** The drawing: rows are queries, columns are keys, and the outlines are the plan's tiles. */
export function planSvg(blockPlan: BlockPlan): string {
  const width = MARGIN.left + SIDE + MARGIN.right;
  const height = MARGIN.top + SIDE + MARGIN.bottom;
  const title = headline(blockPlan);
  return [
    `<svg xmlns="http://www.w3.org/2000/svg" width="${width}" height="${height}" viewBox="0 0 ${width} ${height}" role="img">`,
    `<title>${title.replace('\n', '; ')}</title>`,
    rect(0, 0, width, height, '#ffffff'),
    ...title.split('\n').map((line, i) => text(line, MARGIN.left, 16 + 22 * i, 1.5)),
    ...axes(blockPlan),
    `<g transform="translate(${MARGIN.left} ${MARGIN.top})" shape-rendering="crispEdges">`,
    rect(0, 0, SIDE, SIDE, COLORS.skipped),
    ...cellRuns(blockPlan),
    ...tileOutlines(blockPlan),
    ...dividers(blockPlan),
    '</g>',
    ...legend(height - MARGIN.bottom + 28),
    '</svg>',
    '',
  ].join('\n');
}

function rect(x: number, y: number, width: number, height: number, fill: string): string {
  return `<rect x="${round(x)}" y="${round(y)}" width="${round(width)}" height="${round(height)}" fill="${fill}"/>`;
}

function round(value: number): number {
  return Number(value.toFixed(2));
}

/** Neighbouring equal cells of a row are one rectangle. */
function cellRuns(blockPlan: BlockPlan): string[] {
  const { blocks } = blockPlan;
  const cells = planCells(blockPlan);
  const size = SIDE / blocks;
  const runs: string[] = [];
  for (let row = 0; row < blocks; row++) {
    for (let start = 0; start < blocks; ) {
      const cell = cells[row * blocks + start];
      let end = start + 1;
      while (end < blocks && cells[row * blocks + end] === cell) end++;
      if (cell !== CELL.skipped) {
        const color = cell === CELL.attended ? COLORS.attended : COLORS.masked;
        runs.push(rect(start * size, row * size, (end - start) * size, size, color));
      }
      start = end;
    }
  }
  return runs;
}

function tileOutlines({ plan }: BlockPlan): string[] {
  const scale = SIDE / plan.tokens;
  return plan.tiles.flatMap(({ queries, keys }) =>
    keys.map(({ start, end }) => {
      const [x, y] = [start * scale, queries.start * scale].map(round);
      const [width, height] = [(end - start) * scale, (queries.end - queries.start) * scale].map(round);
      return `<rect x="${x}" y="${y}" width="${width}" height="${height}" fill="none" stroke="${COLORS.tile}" stroke-width="1.5"/>`;
    }),
  );
}

/** Between clean and noised blocks. */
function dividers({ clean, blocks }: BlockPlan): string[] {
  if (clean === 0) return [];
  const at = round((clean * SIDE) / blocks);
  const style = `stroke="${COLORS.divider}" stroke-width="2" stroke-dasharray="6 4"`;
  return [
    `<line x1="${at}" y1="0" x2="${at}" y2="${SIDE}" ${style}/>`,
    `<line x1="0" y1="${at}" x2="${SIDE}" y2="${at}" ${style}/>`,
  ];
}

/** Names of the parts of the sequence, and numbers of the blocks, along keys and queries. */
function axes(plan: BlockPlan): string[] {
  const size = SIDE / plan.blocks;
  return planParts(plan, MOST_NUMBERS).flatMap(({ name, start, end, numbers }) => {
    const middle = ((start + end) / 2) * size;
    return [
      centered(`${name} keys`, MARGIN.left + middle, MARGIN.top - 46, 1.5),
      rotated(`${name} queries`, MARGIN.left - 46, MARGIN.top + middle, 1.5),
      ...numbers.flatMap((number) => {
        const at = (start + number + 0.5) * size;
        return [
          centered(String(number), MARGIN.left + at, MARGIN.top - 20, 1.5),
          centered(String(number), MARGIN.left - 16, MARGIN.top + at - 6, 1.5),
        ];
      }),
    ];
  });
}

function legend(y: number): string[] {
  const entries = [
    ['attended', COLORS.attended],
    ['computed, then masked', COLORS.masked],
    ['not computed', COLORS.skipped],
  ] as const;
  let x = MARGIN.left as number;
  const boxes = entries.map(([name, color]) => {
    const box = [rect(x, y, 14, 14, color), text(name, x + 20, y + 2, 1.5)].join('\n');
    x += 20 + textWidth(name, 1.5) + 24;
    return box;
  });
  const tile = `<rect x="${x}" y="${y}" width="14" height="14" fill="none" stroke="${COLORS.tile}" stroke-width="1.5"/>`;
  return [...boxes, tile, text('tile', x + 20, y + 2, 1.5)];
}

function textWidth(content: string, scale: number): number {
  return textImage(content).width * scale;
}

function centered(content: string, x: number, y: number, scale: number): string {
  return text(content, x - textWidth(content, scale) / 2, y, scale);
}

/** Reads upwards, centred at (x, y). */
function rotated(content: string, x: number, y: number, scale: number): string {
  const half = textWidth(content, scale) / 2;
  return `<g transform="translate(${round(x)} ${round(y + half)}) rotate(-90)">${text(content, 0, 0, scale)}</g>`;
}

/** Each run of set pixels of the built-in font is one subpath. */
function text(content: string, x: number, y: number, scale: number): string {
  const { width, height, data } = textImage(content);
  let path = '';
  for (let row = 0; row < height; row++) {
    for (let start = 0; start < width; start++) {
      if (data[row * width + start] !== 0) continue;
      let end = start + 1;
      while (end < width && data[row * width + end] === 0) end++;
      path += `M${start} ${row}h${end - start}v1h${start - end}z`;
      start = end;
    }
  }
  return `<path transform="translate(${round(x)} ${round(y)}) scale(${scale})" fill="${COLORS.text}" d="${path}"/>`;
}
