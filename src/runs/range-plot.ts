/** @file Draws a learning-rate range test as SVG: the loss against the learning rate, and the rates that it shows. */

import { at } from '../at.ts';
import { ticks } from '../evaluation/report/charts.ts';
import { formatRate } from '../io/quantities.ts';
import type { RateCurve } from '../training/rate-range.ts';
import { axisName, COLORS, gridLines, HEIGHT, round, svgPlot, WIDTH } from './plot.ts';

const FRAME = { left: 64, right: WIDTH - 20, top: 48, bottom: HEIGHT - 56 } as const;
const RATE_COLORS = { suggested: COLORS.green, steepest: COLORS.orange, lowest: COLORS.vermilion } as const;

/** Losses above the first smoothed one times this are cut off: one that diverges would flatten the rest. */
const SHOWN_LOSS = 1.25;

/** Draws the losses as they were, faintly, the smoothed ones, and a vertical line for each rate that the curve shows. */
export function ratePlot({ points, ...rates }: RateCurve): string {
  const smoothed = points.map((point) => point.smoothed);
  const range = [
    0.95 * Math.min(...smoothed),
    SHOWN_LOSS * Math.max(at(smoothed, 0), ...smoothed.slice(0, 5)),
  ] as const;
  const logs = points.map(({ learningRate }) => Math.log10(learningRate));
  const [first, last] = [at(logs, 0), Math.max(at(logs, 0) + 1e-9, at(logs, -1))];
  const across = (rate: number): number =>
    round(FRAME.left + ((Math.log10(rate) - first) / (last - first)) * (FRAME.right - FRAME.left));
  const up = (loss: number): number => {
    const share = (Math.min(loss, 2 * range[1]) - range[0]) / (range[1] - range[0]);
    return round(FRAME.bottom - share * (FRAME.bottom - FRAME.top));
  };
  const line = (key: 'loss' | 'smoothed'): string =>
    points.map((point) => `${across(point.learningRate)},${up(point[key])}`).join(' ');
  const drawn = (['lowest', 'steepest', 'suggested'] as const).flatMap((name, i) => {
    const rate = rates[name];
    return rate === undefined ? [] : [drawRate(name, rate, across(rate), i)];
  });
  return svgPlot(
    'Learning-rate range test',
    describe(rates),
    `<clipPath id="frame"><rect x="${FRAME.left}" y="${FRAME.top}" width="${FRAME.right - FRAME.left}" ` +
      `height="${FRAME.bottom - FRAME.top}"/></clipPath>${axes([first, last], range, across, up)}` +
      `<g clip-path="url(#frame)" fill="none" stroke="${COLORS.blue}">` +
      `<polyline points="${line('loss')}" opacity="0.35"/><polyline points="${line('smoothed')}" stroke-width="2"/></g>` +
      drawn.join(''),
  );
}

function describe({ lowest, steepest, suggested }: Omit<RateCurve, 'points'>): string {
  const found = `The smoothed loss falls fastest at ${formatRate(steepest)} and is lowest at ${formatRate(lowest)}.`;
  return suggested === undefined ? found : `${found} The suggested rate is ${formatRate(suggested)}.`;
}

/** Draws a vertical line at a rate, with its name above, one name per row so that they do not overlap. */
function drawRate(name: keyof typeof RATE_COLORS, rate: number, x: number, row: number): string {
  const [anchor, shift] = x > (FRAME.left + FRAME.right) / 2 ? ['end', -6] : ['start', 6];
  return (
    `<path d="M${x} ${FRAME.top}V${FRAME.bottom}" stroke="${RATE_COLORS[name]}" stroke-width="1.5" stroke-dasharray="5 3"/>` +
    `<text x="${x + shift}" y="${FRAME.top + 16 + 18 * row}" text-anchor="${anchor}">` +
    `${name} ${formatRate(rate)}</text>`
  );
}

function axes(
  [first, last]: readonly [number, number],
  range: readonly [number, number],
  across: (rate: number) => number,
  up: (loss: number) => number,
): string {
  const side = ticks(range).map((tick) => [up(tick), String(tick)] as const);
  const powers = Array.from({ length: Math.floor(last + 1e-9) - Math.ceil(first - 1e-9) + 1 }, (_, i) => i);
  const below = powers.map((i) => {
    const power = Math.ceil(first - 1e-9) + i;
    return `<text x="${across(10 ** power)}" y="${FRAME.bottom + 20}" text-anchor="middle">1e${power}</text>`;
  });
  return (
    `${gridLines(FRAME, side)}${below.join('')}${axisName(FRAME, HEIGHT - 14, 'learning rate')}` +
    `<text x="${FRAME.left}" y="24" font-size="15">Loss by learning rate</text>`
  );
}
