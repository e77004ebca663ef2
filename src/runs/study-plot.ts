/** @file Draws a metric of a study as SVG: its mean over the first axis, with error bars, and a series per other value. */

import { at } from '../at.ts';
import { ticks } from '../evaluation/report/charts.ts';
import { escapeHtml } from '../evaluation/report/page.ts';
import { axisName, COLORS, gridLines, HEIGHT, round, svgPlot, WIDTH } from './plot.ts';
import type { Study, StudyAxis, StudyMetric } from './study-file.ts';
import { type StudyGroup, type Summary, shown } from './study-results.ts';

const FRAME = { left: 76, right: WIDTH - 20, top: 64, bottom: HEIGHT - 76 } as const;
const SERIES_COLORS = Object.values(COLORS);

/** A point with its error bar. */
interface Point {
  readonly x: number;
  readonly summary: Summary;
}

/** The range that is drawn, and where it is ticked. */
interface Scale {
  readonly toPixel: (value: number) => number;
  readonly ticks: readonly number[];
}

/** Draws a metric; undefined if no run has it. */
export function studyPlot(
  study: Study,
  metric: StudyMetric,
  groups: readonly StudyGroup[],
): string | undefined {
  const axis = at(study.axes, 0);
  const series = seriesOf(axis, metric, groups);
  const summaries = [...series.values()].flat().map(({ summary }) => summary);
  if (summaries.length === 0) return undefined;
  const scale = metric.logarithmic ? logarithmicScale(summaries) : linearScale(summaries);
  const drawn = [...series].map(([, points], i) => {
    const shift = axis.isNumeric ? 0 : 8 * (i - (series.size - 1) / 2);
    return drawSeries(points, axis, scale, colorOf(i), shift);
  });
  const names = [...series.keys()].filter((name) => name !== '');
  const description = `${metric.label} over ${axis.name}, mean and standard deviation`;
  const frame = drawFrame(study, metric, axis, scale);
  return svgPlot(study.title, description, `${frame}${drawLegend(names)}${drawn.join('')}`);
}

/** The points of each combination of values of the other axes. */
function seriesOf(
  { values }: StudyAxis,
  { name, logarithmic }: StudyMetric,
  groups: readonly StudyGroup[],
): Map<string, Point[]> {
  const series = new Map<string, Point[]>();
  for (const { labels, summary } of groups) {
    const [first, ...others] = labels;
    const found = summary[name];
    if (!found || (logarithmic && found.mean <= 0)) continue;
    const key = others.join(', ');
    const x = values.findIndex(({ label }) => label === first);
    series.set(key, [...(series.get(key) ?? []), { x, summary: found }]);
  }
  return series;
}

function drawSeries(
  points: readonly Point[],
  axis: StudyAxis,
  { toPixel }: Scale,
  color: string,
  shift: number,
): string {
  const places = points.map(({ x, summary: { mean, deviation = 0 } }) => ({
    left: across(axis, x) + shift,
    top: toPixel(mean),
    bar: [toPixel(mean - deviation), toPixel(mean + deviation)] as const,
  }));
  const line = places.map(({ left, top }) => `${round(left)},${round(top)}`).join(' ');
  const marks = places.map(({ left, top, bar: [low, high] }) => {
    const bar = `M${round(left)} ${round(low)}V${round(high)}`;
    const ends = [low, high].map((end) => `M${round(left - 5)} ${round(end)}h10`).join('');
    return (
      `<path d="${bar}${ends}" stroke="${color}" stroke-width="1.5" fill="none"/>` +
      `<circle cx="${round(left)}" cy="${round(top)}" r="4" fill="${color}"/>`
    );
  });
  const joined = axis.isNumeric
    ? `<polyline points="${line}" fill="none" stroke="${color}" stroke-width="2"/>`
    : '';
  return `<g>${joined}${marks.join('')}</g>`;
}

function drawFrame({ title }: Study, { label }: StudyMetric, axis: StudyAxis, scale: Scale): string {
  const grid = scale.ticks.map((tick) => [round(scale.toPixel(tick)), shown(tick, 3)] as const);
  const places = axis.values.map(
    ({ label: text }, i) =>
      `<text x="${round(across(axis, i))}" y="${FRAME.bottom + 20 + (i % 2 && axis.values.length > 5 ? 16 : 0)}" ` +
      `text-anchor="middle">${escapeHtml(text)}</text>`,
  );
  return (
    `${gridLines(FRAME, grid)}${places.join('')}${axisName(FRAME, HEIGHT - 16, axis.name)}` +
    `<text x="${FRAME.left}" y="22" font-size="15">${escapeHtml(title)}</text>` +
    `<text x="${FRAME.left}" y="${FRAME.top - 10}">${escapeHtml(label)}</text>`
  );
}

/** The names of series, from the right, next to their colours. */
function drawLegend(names: readonly string[]): string {
  let right: number = FRAME.right;
  const entries = names.map((name, i): [string, string] => [name, colorOf(i)]).reverse();
  return entries
    .map(([name, color]) => {
      const text = `<text x="${right}" y="${FRAME.top - 10}" text-anchor="end">${escapeHtml(name)}</text>`;
      right -= 8 * name.length + 10;
      const mark = `<circle cx="${right}" cy="${FRAME.top - 14}" r="4" fill="${color}"/>`;
      right -= 16;
      return text + mark;
    })
    .join('');
}

/** Returns the colour of a series by its number; with more series than colours, some share one. */
function colorOf(series: number): string {
  return at(SERIES_COLORS, series % SERIES_COLORS.length);
}

/** Horizontal place of a value of the first axis: they are at equal distances. */
function across({ values }: StudyAxis, index: number): number {
  return FRAME.left + ((index + 0.5) / values.length) * (FRAME.right - FRAME.left);
}

function linearScale(summaries: readonly Summary[]): Scale {
  const lows = summaries.map(({ mean, deviation = 0 }) => mean - deviation);
  const highs = summaries.map(({ mean, deviation = 0 }) => mean + deviation);
  const [least, most] = [Math.min(...lows), Math.max(...highs)];
  const room = most > least ? 0.06 * (most - least) : Math.max(Math.abs(most), 1e-9) * 0.1;
  const range = [least - room, most + room] as const;
  return {
    toPixel: (value) => placeOf((value - range[0]) / (range[1] - range[0])),
    ticks: ticks(range),
  };
}

function logarithmicScale(summaries: readonly Summary[]): Scale {
  const means = summaries.map(({ mean }) => mean);
  const low = Math.floor(Math.log10(Math.min(...means)));
  const high = Math.max(low + 1, Math.ceil(Math.log10(Math.max(...means))));
  return {
    // An error bar may reach below what a logarithmic axis shows.
    toPixel: (value) => placeOf((Math.log10(Math.max(value, 10 ** low)) - low) / (high - low)),
    ticks: Array.from({ length: high - low + 1 }, (_, i) => 10 ** (low + i)),
  };
}

function placeOf(share: number): number {
  return FRAME.bottom - share * (FRAME.bottom - FRAME.top);
}
