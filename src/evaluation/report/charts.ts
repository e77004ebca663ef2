/**
 * @file Charts of an evaluation's report as SVG: two series that differ in colour and in shape, in colours that the page
 * gives (classes `reference` and `samples`), each with its meaning in words for readers who cannot see it.
 */

import { at } from '../../at.ts';
import type { PerSet } from '../evaluation-set.ts';
import { escapeHtml } from './page.ts';

/** The two sets, in the order in which they are drawn and explained. */
export const SERIES = ['reference', 'samples'] as const;
export type Series = (typeof SERIES)[number];

const WIDTH = 640;
const HEIGHT = 360;
const MARGIN = { left: 56, right: 16, top: 34, bottom: 48 } as const;
const INNER = { width: WIDTH - MARGIN.left - MARGIN.right, height: HEIGHT - MARGIN.top - MARGIN.bottom };

/** What a chart is called, and what its picture shows, in words. */
export interface ChartText {
  readonly title: string;
  readonly description: string;
}

/** Places on an axis, from data to pixels. */
interface Axis {
  readonly label: string;
  readonly range: readonly [number, number];
  readonly show?: (value: number) => string;
}

const BINS = 40;

/** Shares of values by size: the reference as a solid line, the samples as a dashed one. */
export function histogram(text: ChartText, label: string, values: PerSet<Float64Array>): string {
  const range = padded(extent(SERIES.flatMap((series) => [...extent(values[series])])));
  const shares = Object.fromEntries(
    SERIES.map((series) => [series, sharesOf(values[series], range)]),
  ) as unknown as PerSet<number[]>;
  const most = Math.max(...SERIES.flatMap((series) => shares[series]));
  const x: Axis = { label, range };
  const y: Axis = { label: 'share', range: [0, 1.05 * most], show: (share) => `${round(100 * share)}%` };
  const lines = SERIES.map((series) => {
    const steps = shares[series].map((share, bin) => {
      const edge = (number: number): number => range[0] + (number * (range[1] - range[0])) / BINS;
      const height = place(share, y.range, INNER.height, true);
      const [from, to] = [edge(bin), edge(bin + 1)];
      return `L${place(from, range, INNER.width)} ${height}L${place(to, range, INNER.width)} ${height}`;
    });
    return `<path class="line ${series}" d="M0 ${INNER.height}${steps.join('')}L${INNER.width} ${INNER.height}"/>`;
  });
  return frame(text, 'line', [axes(x, y), ...lines]);
}

/** A dot, and a cross, from their middle. */
const MARKS: PerSet<string> = { reference: 'h0', samples: 'm-2.5-2.5l5 5m0-5l-5 5' };

/** Points (n, 2): those of the reference as dots, the samples as crosses. */
export function scatter(
  text: ChartText,
  labels: readonly [string, string],
  points: PerSet<Float64Array>,
): string {
  const axisOf = (axis: 0 | 1): Axis => {
    const values = SERIES.flatMap((series) => Array.from(points[series].filter((_, i) => i % 2 === axis)));
    return { label: labels[axis], range: padded(extent(values)) };
  };
  const [x, y] = [axisOf(0), axisOf(1)];
  const marks = SERIES.map((series) => {
    const drawn = Array.from({ length: points[series].length / 2 }, (_, i) => {
      const left = place(at(points[series], 2 * i), x.range, INNER.width);
      const top = place(at(points[series], 2 * i + 1), y.range, INNER.height, true);
      return `M${left} ${top}${MARKS[series]}`;
    });
    return `<path class="marks ${series}" d="${drawn.join('')}"/>`;
  });
  return frame(text, 'marks', [axes(x, y), ...marks]);
}

/** Numbers by name, as bars from left to right, one below the other. */
export function bars(
  text: ChartText,
  rows: readonly (readonly [name: string, value: number])[],
  show: (value: number) => string,
  series: Series = 'samples',
): string {
  const rowHeight = 20;
  const names = 170;
  const height = rows.length * rowHeight + 8;
  const most = Math.max(...rows.map(([, value]) => value), Number.MIN_VALUE);
  const drawn = rows.map(([name, value], i) => {
    const top = 4 + i * rowHeight;
    const shortened = name.length > 24 ? `${name.slice(0, 23)}…` : name;
    const width = round((value / most) * (WIDTH - names - 76));
    return (
      `<text x="${names - 8}" y="${top + 14}" text-anchor="end">${escapeHtml(shortened)}</text>` +
      `<rect class="${series}" x="${names}" y="${top + 3}" width="${width}" height="${rowHeight - 6}"/>` +
      `<text x="${names + width + 6}" y="${top + 14}">${escapeHtml(show(value))}</text>`
    );
  });
  return svg(text, height, drawn);
}

function svg({ title, description }: ChartText, height: number, content: readonly string[]): string {
  return (
    `<svg viewBox="0 0 ${WIDTH} ${height}" role="img" aria-label="${escapeHtml(`${title}. ${description}`)}">` +
    `<title>${escapeHtml(title)}</title><desc>${escapeHtml(description)}</desc>${content.join('')}</svg>`
  );
}

/** A chart of both series, with its legend above. @param kind of the marks that stand for a series */
function frame(text: ChartText, kind: 'line' | 'marks', content: readonly string[]): string {
  const legend = SERIES.map((series, i) => {
    const x = 140 * i;
    const mark = kind === 'marks' ? `M${x + 12} -16${MARKS[series]}` : `M${x} -16h24`;
    return `<path class="${kind} ${series}" d="${mark}"/><text x="${x + 32}" y="-12">${series}</text>`;
  });
  const inner = `<g transform="translate(${MARGIN.left} ${MARGIN.top})">${[...legend, ...content].join('')}</g>`;
  return svg(text, HEIGHT, [inner]);
}

function axes(x: Axis, y: Axis): string {
  const bottom = ticks(x.range).map((value) => {
    const left = place(value, x.range, INNER.width);
    return (
      `<path class="grid" d="M${left} 0v${INNER.height}"/>` +
      `<text x="${left}" y="${INNER.height + 18}" text-anchor="middle">${show(x, value)}</text>`
    );
  });
  const side = ticks(y.range).map((value) => {
    const top = place(value, y.range, INNER.height, true);
    return (
      `<path class="grid" d="M0 ${top}h${INNER.width}"/>` +
      `<text x="-8" y="${top + 4}" text-anchor="end">${show(y, value)}</text>`
    );
  });
  return (
    bottom.join('') +
    side.join('') +
    `<path class="axis" d="M0 0v${INNER.height}h${INNER.width}"/>` +
    `<text x="${INNER.width / 2}" y="${INNER.height + 40}" text-anchor="middle">${escapeHtml(x.label)}</text>` +
    `<text x="${INNER.width}" y="-12" text-anchor="end">${escapeHtml(`up: ${y.label}`)}</text>`
  );
}

function show(axis: Axis, value: number): string {
  return axis.show ? axis.show(value) : String(round(value));
}

/** Returns the smallest of 1, 2 and 5 times a power of ten that gives a range at most `count` ticks. */
export function tickStep(range: number, count: number): number {
  const power = 10 ** Math.floor(Math.log10(range / count));
  return power * ([1, 2, 5].find((factor) => range / (factor * power) <= count) ?? 10);
}

/** Returns round numbers inside a range, about five of them. */
export function ticks([low, high]: readonly [number, number]): number[] {
  const step = tickStep(high - low, 6);
  const first = Math.ceil(low / step - 1e-9);
  const last = Math.floor(high / step + 1e-9);
  return Array.from({ length: last - first + 1 }, (_, i) => Number(((first + i) * step).toPrecision(12)));
}

function place(value: number, [low, high]: readonly [number, number], size: number, upward = false): number {
  const share = (value - low) / (high - low);
  return round((upward ? 1 - share : share) * size);
}

/** Enough digits for a tenth of a pixel, or for a label. */
function round(value: number): number {
  return Math.abs(value) < 1 ? Number(value.toPrecision(2)) : Number(value.toFixed(1));
}

function extent(values: Iterable<number>): readonly [number, number] {
  let [low, high] = [Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY];
  for (const value of values) [low, high] = [Math.min(low, value), Math.max(high, value)];
  return [low, high];
}

/** A range with some room; never an empty one. */
function padded([low, high]: readonly [number, number]): readonly [number, number] {
  const room = high > low ? (high - low) * 0.03 : Math.max(Math.abs(low), 1) * 0.5;
  return [low - room, high + room];
}

function sharesOf(values: Float64Array, [low, high]: readonly [number, number]): number[] {
  const counts = new Array<number>(BINS).fill(0);
  for (const value of values) {
    const bin = Math.min(BINS - 1, Math.floor(((value - low) / (high - low)) * BINS));
    counts[bin] = at(counts, bin) + 1;
  }
  return counts.map((count) => count / values.length);
}
