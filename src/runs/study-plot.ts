/** @file Draws a metric of a study as SVG: its mean over the first axis, with error bars, and a series per other value. */

import { at } from '../at.ts';
import { ticks } from '../evaluation/report/charts.ts';
import { escapeHtml } from '../evaluation/report/page.ts';
import type { Study, StudyAxis, StudyMetric } from './study-file.ts';
import { type StudyGroup, type Summary, shown } from './study-results.ts';

const WIDTH = 720;
const HEIGHT = 420;
const FRAME = { left: 76, right: WIDTH - 20, top: 64, bottom: HEIGHT - 76 } as const;
/** Colours that people with any colour vision can distinguish (Okabe and Ito, 2008). */
const COLORS = ['#0072b2', '#d55e00', '#009e73', '#cc79a7', '#e69f00', '#56b4e9', '#000000'];

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
    const color = at(COLORS, i % COLORS.length);
    const shift = axis.isNumeric ? 0 : 8 * (i - (series.size - 1) / 2);
    return drawSeries(points, axis, scale, color, shift);
  });
  const names = [...series.keys()].filter((name) => name !== '');
  const description = `${metric.label} over ${axis.name}, mean and standard deviation`;
  return (
    `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${WIDTH} ${HEIGHT}" role="img" font-family="sans-serif" ` +
    `font-size="13"><title>${escapeHtml(study.title)}</title><desc>${escapeHtml(description)}</desc>` +
    `<rect width="${WIDTH}" height="${HEIGHT}" fill="white"/>${drawFrame(study, metric, axis, scale)}` +
    `${drawLegend(names)}${drawn.join('')}</svg>\n`
  );
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
  const grid = scale.ticks.map((tick) => {
    const y = round(scale.toPixel(tick));
    return (
      `<path d="M${FRAME.left} ${y}H${FRAME.right}" stroke="#e2e2e2"/>` +
      `<text x="${FRAME.left - 8}" y="${y + 4}" text-anchor="end">${escapeHtml(shown(tick, 3))}</text>`
    );
  });
  const places = axis.values.map(
    ({ label: text }, i) =>
      `<text x="${round(across(axis, i))}" y="${FRAME.bottom + 20 + (i % 2 && axis.values.length > 5 ? 16 : 0)}" ` +
      `text-anchor="middle">${escapeHtml(text)}</text>`,
  );
  return (
    `${grid.join('')}<path d="M${FRAME.left} ${FRAME.top}V${FRAME.bottom}H${FRAME.right}" stroke="#333" fill="none"/>` +
    `${places.join('')}<text x="${(FRAME.left + FRAME.right) / 2}" y="${HEIGHT - 16}" text-anchor="middle">` +
    `${escapeHtml(axis.name)}</text><text x="${FRAME.left}" y="22" font-size="15">${escapeHtml(title)}</text>` +
    `<text x="${FRAME.left}" y="${FRAME.top - 10}">${escapeHtml(label)}</text>`
  );
}

/** The names of series, from the right, next to their colours. */
function drawLegend(names: readonly string[]): string {
  let right: number = FRAME.right;
  const entries = names.map((name, i): [string, string] => [name, at(COLORS, i % COLORS.length)]).reverse();
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

function round(value: number): number {
  return Number(value.toFixed(1));
}
