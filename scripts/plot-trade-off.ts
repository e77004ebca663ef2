/**
 * @file Draws the results of the trade-off study: quality, and the cost of an image with and without the cache, over the
 * number of blocks.
 *
 *     npm run plot-trade-off -- runs/trade-off/results.json docs/images/trade-off.png
 */

import { readFileSync } from 'node:fs';
import { at, get } from '../src/at.ts';
import { tickStep } from '../src/evaluation/report/charts.ts';
import { type Image, writePng } from '../src/media/index.ts';
import { rasterize, write } from './drawing/drawing.ts';
import type { StudyResult } from './trade-off/study.ts';

/** One curve: a value for each result. */
interface Curve {
  readonly name: string;
  readonly color: string;
  readonly values: readonly number[];
}

interface Panel {
  readonly title: string;
  readonly curves: readonly Curve[];
  /** Ticks at powers of ten rather than at equal distances from 0. */
  readonly logarithmic?: boolean;
}

const PANEL = { width: 480, height: 400, left: 80, right: 20, top: 74, bottom: 62 };
const [BLUE, RED] = ['#1f5fa8', '#b8442c'];

function panelsOf(results: readonly StudyResult[]): Panel[] {
  const metric = (name: string): number[] => results.map(({ metrics }) => get(metrics, name));
  const costs = (key: 'flops' | 'seconds', unit: number): Curve[] => [
    { name: 'with cache', color: BLUE, values: results.map(({ withCache }) => withCache[key] / unit) },
    { name: 'without', color: RED, values: results.map(({ withoutCache }) => withoutCache[key] / unit) },
  ];
  return [
    {
      title: 'Frechet distance of features',
      curves: [{ name: '', color: BLUE, values: metric('frechetDistance') }],
    },
    { title: 'label accuracy', curves: [{ name: '', color: BLUE, values: metric('labelAccuracy') }] },
    { title: 'GFLOPs per image', curves: costs('flops', 1e9), logarithmic: true },
    { title: 'processor seconds per image', curves: costs('seconds', 1), logarithmic: true },
  ];
}

/** Maps values to pixels, and lists the grid lines. */
function axisOf({ curves, logarithmic }: Panel): { toPixel: (value: number) => number; ticks: number[] } {
  const values = curves.flatMap((curve) => curve.values);
  const most = Math.max(...values);
  const [bottom, top] = [PANEL.height - PANEL.bottom, PANEL.top];
  if (logarithmic) {
    const [low, high] = [Math.floor(Math.log10(Math.min(...values))), Math.ceil(Math.log10(most))];
    return {
      toPixel: (value) => bottom - ((Math.log10(value) - low) / (high - low)) * (bottom - top),
      ticks: Array.from({ length: high - low + 1 }, (_, i) => 10 ** (low + i)),
    };
  }
  const every = tickStep(most, 6);
  const count = Math.ceil(most / every);
  return {
    toPixel: (value) => bottom - (value / (every * count)) * (bottom - top),
    ticks: Array.from({ length: count + 1 }, (_, i) => i * every),
  };
}

/** Horizontal position of result `i` of `count`. */
function across(i: number, count: number): number {
  const { left, right, width } = PANEL;
  return left + ((i + 0.5) / count) * (width - left - right);
}

function drawPanel(panel: Panel): string {
  const { left, right, width, height, bottom } = PANEL;
  const { toPixel, ticks } = axisOf(panel);
  const line = (y: number, stroke: string): string =>
    `<line x1="${left}" y1="${y}" x2="${width - right}" y2="${y}" stroke="${stroke}"/>`;
  const curves = panel.curves.flatMap(({ color, values }) => {
    const points = values.map((value, i) => [across(i, values.length), toPixel(value)] as const);
    return [
      `<polyline points="${points.map((point) => point.join()).join(' ')}" fill="none" stroke="${color}" stroke-width="2.5"/>`,
      ...points.map(([x, y]) => `<circle cx="${x}" cy="${y}" r="5" fill="${color}"/>`),
    ];
  });
  return [
    ...ticks.map((tick) => line(toPixel(tick), '#e6e6e6')),
    line(height - bottom, '#333333'),
    ...curves,
  ].join('\n');
}

function writePanel(image: Image, panel: Panel, blocks: readonly number[], x: number, y: number): void {
  const { toPixel, ticks } = axisOf(panel);
  write(image, panel.title, x + PANEL.left, y + 20, 1);
  for (const tick of ticks)
    write(image, String(Number(tick.toPrecision(3))), x + PANEL.left - 8, y + toPixel(tick), -1);
  for (const [i, count] of blocks.entries()) {
    write(image, String(count), x + across(i, blocks.length), y + PANEL.height - PANEL.bottom + 18, 0);
  }
  write(image, 'blocks', x + PANEL.width / 2, y + PANEL.height - 20, 0);
  const ends = panel.curves.map(({ values }) => at(values, -1));
  for (const [i, { name, values }] of panel.curves.entries()) {
    // The highest curve has its name above its end, others below.
    const end = at(ends, i);
    const offset = end === Math.max(...ends) ? -18 : 50;
    write(image, name, x + across(values.length - 1, values.length), y + toPixel(end) + offset, -1);
  }
}

async function main(path: string | undefined, output: string | undefined): Promise<void> {
  if (!path || !output) throw new Error('usage: npm run plot-trade-off -- RESULTS.json OUT.png');
  const results: StudyResult[] = JSON.parse(readFileSync(path, 'utf8'));
  const panels = panelsOf(results);
  const placeOf = (i: number) => [(i % 2) * PANEL.width, Math.floor(i / 2) * PANEL.height] as const;
  const drawn = panels.map(
    (panel, i) => `<g transform="translate(${placeOf(i).join()})">${drawPanel(panel)}</g>`,
  );
  const [width, height] = [2 * PANEL.width, 2 * PANEL.height];
  const image = await rasterize(
    `<svg xmlns="http://www.w3.org/2000/svg" width="${width}" height="${height}"><rect width="100%" height="100%" fill="white"/>${drawn.join('')}</svg>`,
  );
  const blocks = results.map((result) => result.blocks);
  for (const [i, panel] of panels.entries()) writePanel(image, panel, blocks, ...placeOf(i));
  await writePng(output, image);
  console.log(output);
}

await main(process.argv[2], process.argv[3]);
