/** @file What the plots of runs share, as SVG: their size, their colours, and the frame around the data. */

import { escapeHtml } from '../evaluation/report/page.ts';

export const WIDTH = 720;
export const HEIGHT = 420;

/** Colours that people with any colour vision can distinguish (Okabe and Ito, 2008). */
export const COLORS = {
  ...{ blue: '#0072b2', vermilion: '#d55e00', green: '#009e73', purple: '#cc79a7' },
  ...{ orange: '#e69f00', sky: '#56b4e9', black: '#000000' },
} as const;

/** Edges of the rectangle that data is drawn in. */
export interface Frame {
  readonly left: number;
  readonly right: number;
  readonly top: number;
  readonly bottom: number;
}

/** Returns a plot as a file. @param content its elements; title and description are for readers who cannot see it. */
export function svgPlot(title: string, description: string, content: string): string {
  return (
    `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${WIDTH} ${HEIGHT}" role="img" font-family="sans-serif" ` +
    `font-size="13"><title>${escapeHtml(title)}</title><desc>${escapeHtml(description)}</desc>` +
    `<rect width="${WIDTH}" height="${HEIGHT}" fill="white"/>${content}</svg>\n`
  );
}

/** Returns the horizontal lines at ticks, with their labels, and the axes. */
export function gridLines(
  { left, right, top, bottom }: Frame,
  ticks: readonly (readonly [y: number, label: string])[],
): string {
  const lines = ticks.map(
    ([y, label]) =>
      `<path d="M${left} ${y}H${right}" stroke="#e2e2e2"/>` +
      `<text x="${left - 8}" y="${y + 4}" text-anchor="end">${escapeHtml(label)}</text>`,
  );
  return `${lines.join('')}<path d="M${left} ${top}V${bottom}H${right}" stroke="#333" fill="none"/>`;
}

/** Returns the name of the horizontal axis, at the height `y`. */
export function axisName({ left, right }: Frame, y: number, name: string): string {
  return `<text x="${(left + right) / 2}" y="${y}" text-anchor="middle">${escapeHtml(name)}</text>`;
}

/** Rounds to a tenth of a pixel. */
export function round(value: number): number {
  return Number(value.toFixed(1));
}
