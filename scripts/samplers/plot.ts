/** @file Draws quality against passes per block: the default solver with fewer steps, and the tuned one. */

import { ticks } from '../../src/evaluation/report/charts.ts';
import type { RowResult } from './rows.ts';

const PANEL = { width: 430, height: 320, left: 64, right: 16, top: 56, bottom: 52 };
const CURVES = { uniform: '#b8442c', tuned: '#1f5fa8' } as const;
const WIDTH = PANEL.width - PANEL.left - PANEL.right;
const HEIGHT = PANEL.height - PANEL.top - PANEL.bottom;

type Point = readonly [passes: number, value: number];

interface Panel {
  readonly title: string;
  readonly measured: (row: RowResult) => number;
}

const PANELS: readonly Panel[] = [
  {
    title: 'Fréchet distance of features (lower is better)',
    measured: ({ metrics }) => metrics.frechetDistance ?? 0,
  },
  { title: 'label accuracy in percent', measured: ({ metrics }) => 100 * (metrics.labelAccuracy ?? 0) },
];

/** Returns an SVG with one panel per metric. Rows without a curve are left out. */
export function qualityPlot(rows: readonly RowResult[]): string {
  const shown = rows.filter(({ curve }) => curve);
  const panels = PANELS.map(
    (panel, i) =>
      `<g transform="translate(${PANEL.left + i * PANEL.width} ${PANEL.top})">${draw(panel, shown)}</g>`,
  );
  const size = `width="${PANELS.length * PANEL.width}" height="${PANEL.height}"`;
  const style = 'text{font:13px sans-serif;fill:#333}';
  return `<svg xmlns="http://www.w3.org/2000/svg" ${size}><title>Quality against passes per block</title><style>${style}</style><rect width="100%" height="100%" fill="white"/>${panels.join('')}</svg>\n`;
}

function draw({ title, measured }: Panel, rows: readonly RowResult[]): string {
  const values = rows.map(measured);
  const room = Math.max((Math.max(...values) - Math.min(...values)) * 0.1, 0.1);
  const range = [Math.min(...values) - room, Math.max(...values) + room] as const;
  const most = Math.max(...rows.map(({ passes }) => passes)) + 2;
  const x = (passes: number): number => round((passes / most) * WIDTH);
  const y = (value: number): number => round((1 - (value - range[0]) / (range[1] - range[0])) * HEIGHT);
  const grid = ticks(range).map(
    (value) =>
      `<path d="M0 ${y(value)}h${WIDTH}" stroke="#e6e6e6"/><text x="-8" y="${y(value) + 4}" text-anchor="end">${value}</text>`,
  );
  const below = ticks([0, most]).map(
    (value) => `<text x="${x(value)}" y="${HEIGHT + 18}" text-anchor="middle">${value}</text>`,
  );
  const curves = Object.entries(CURVES).map(([name, color], i) => {
    const points = rows
      .filter(({ curve }) => curve === name)
      .map((row): Point => [x(row.passes), y(measured(row))])
      .sort(([a], [b]) => a - b);
    const marks = points.map(([cx, cy]) => `<circle cx="${cx}" cy="${cy}" r="4" fill="${color}"/>`).join('');
    const legend = `<path d="M${i * 110} -14h20" stroke="${color}" stroke-width="2"/><text x="${i * 110 + 26}" y="-10">${name}</text>`;
    return `<polyline points="${points.join(' ')}" fill="none" stroke="${color}" stroke-width="2"/>${marks}${legend}`;
  });
  return [
    `<text x="0" y="-34">${title}</text>`,
    ...grid,
    ...below,
    `<path d="M0 0v${HEIGHT}h${WIDTH}" fill="none" stroke="#333"/>`,
    `<text x="${WIDTH / 2}" y="${HEIGHT + 40}" text-anchor="middle">passes per block</text>`,
    ...curves,
  ].join('');
}

function round(value: number): number {
  return Number(value.toFixed(1));
}
