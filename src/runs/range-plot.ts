/** @file Draws a learning-rate range test as SVG: the loss against the learning rate, and the rates that it shows. */

import { at } from '../at.ts';
import { ticks } from '../evaluation/report/charts.ts';
import { escapeHtml } from '../evaluation/report/page.ts';
import type { RateCurve } from '../training/rate-range.ts';

const WIDTH = 720;
const HEIGHT = 420;
const FRAME = { left: 64, right: WIDTH - 20, top: 48, bottom: HEIGHT - 56 } as const;
/** Colours that people with any colour vision can distinguish (Okabe and Ito, 2008). */
const COLORS = { loss: '#0072b2', suggested: '#009e73', steepest: '#e69f00', lowest: '#d55e00' } as const;

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
  return (
    `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${WIDTH} ${HEIGHT}" role="img" font-family="sans-serif" ` +
    `font-size="13"><title>Learning-rate range test</title><desc>${escapeHtml(describe(rates))}</desc>` +
    `<rect width="${WIDTH}" height="${HEIGHT}" fill="white"/>` +
    `<clipPath id="frame"><rect x="${FRAME.left}" y="${FRAME.top}" width="${FRAME.right - FRAME.left}" ` +
    `height="${FRAME.bottom - FRAME.top}"/></clipPath>${axes([first, last], range, across, up)}` +
    `<g clip-path="url(#frame)" fill="none" stroke="${COLORS.loss}">` +
    `<polyline points="${line('loss')}" opacity="0.35"/><polyline points="${line('smoothed')}" stroke-width="2"/></g>` +
    `${drawn.join('')}</svg>\n`
  );
}

function describe({ lowest, steepest, suggested }: Omit<RateCurve, 'points'>): string {
  const found = `The smoothed loss falls fastest at ${shownRate(steepest)} and is lowest at ${shownRate(lowest)}.`;
  return suggested === undefined ? found : `${found} The suggested rate is ${shownRate(suggested)}.`;
}

/** Formats a learning rate. */
export function shownRate(rate: number): string {
  return rate.toExponential(1);
}

/** A vertical line at a rate, with its name above, one name per row so that they do not overlap. */
function drawRate(name: keyof typeof COLORS, rate: number, x: number, row: number): string {
  const [anchor, shift] = x > (FRAME.left + FRAME.right) / 2 ? ['end', -6] : ['start', 6];
  return (
    `<path d="M${x} ${FRAME.top}V${FRAME.bottom}" stroke="${COLORS[name]}" stroke-width="1.5" stroke-dasharray="5 3"/>` +
    `<text x="${x + shift}" y="${FRAME.top + 16 + 18 * row}" text-anchor="${anchor}">` +
    `${name} ${shownRate(rate)}</text>`
  );
}

function axes(
  [first, last]: readonly [number, number],
  range: readonly [number, number],
  across: (rate: number) => number,
  up: (loss: number) => number,
): string {
  const side = ticks(range).map(
    (tick) =>
      `<path d="M${FRAME.left} ${up(tick)}H${FRAME.right}" stroke="#e2e2e2"/>` +
      `<text x="${FRAME.left - 8}" y="${up(tick) + 4}" text-anchor="end">${tick}</text>`,
  );
  const powers = Array.from({ length: Math.floor(last + 1e-9) - Math.ceil(first - 1e-9) + 1 }, (_, i) => i);
  const below = powers.map((i) => {
    const power = Math.ceil(first - 1e-9) + i;
    return `<text x="${across(10 ** power)}" y="${FRAME.bottom + 20}" text-anchor="middle">1e${power}</text>`;
  });
  return (
    `${side.join('')}<path d="M${FRAME.left} ${FRAME.top}V${FRAME.bottom}H${FRAME.right}" stroke="#333" fill="none"/>` +
    `${below.join('')}<text x="${(FRAME.left + FRAME.right) / 2}" y="${HEIGHT - 14}" text-anchor="middle">learning rate` +
    `</text><text x="${FRAME.left}" y="24" font-size="15">Loss by learning rate</text>`
  );
}

function round(value: number): number {
  return Number(value.toFixed(1));
}
