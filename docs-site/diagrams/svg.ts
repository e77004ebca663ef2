/** @file Small SVG drawings. */

import { rect as drawnRect, round } from '../../src/models/acdit/plan-drawing.ts';
import { type Color, color, paletteCss } from './palette.ts';

export interface Drawing {
  readonly width: number;
  readonly height: number;
  /** SVG elements. */
  readonly body: readonly string[];
}

/** Returns a rectangle, filled or outlined. */
export function rect(
  x: number,
  y: number,
  width: number,
  height: number,
  { fill, stroke }: { readonly fill?: Color; readonly stroke?: Color },
): string {
  const paint = { fill: fill && color(fill), stroke: stroke && color(stroke) };
  return drawnRect(x, y, width, height, paint);
}

export interface TextOptions {
  readonly anchor?: 'start' | 'middle' | 'end';
  readonly size?: number;
  /** Reads upwards. */
  readonly upwards?: boolean;
  readonly fill?: Color;
}

/** A line of text, vertically centred at y. */
export function text(
  content: string,
  x: number,
  y: number,
  { anchor = 'start', size = 15, upwards = false, fill = 'text' }: TextOptions = {},
): string {
  const at = upwards
    ? `transform="translate(${round(x)} ${round(y)}) rotate(-90)"`
    : `x="${round(x)}" y="${round(y)}"`;
  return `<text ${at} font-size="${size}" text-anchor="${anchor}" dominant-baseline="central" fill="${color(fill)}">${escaped(content)}</text>`;
}

/** A whole SVG file, which brings its colours for light and dark screens. */
export function svgFile({ width, height, body }: Drawing, title: string): string {
  return [
    `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${width} ${height}" width="${width}" height="${height}" font-family="system-ui, sans-serif" role="img">`,
    `<title>${escaped(title)}</title>`,
    `<style>svg{${paletteCss('light')}}@media (prefers-color-scheme:dark){svg{${paletteCss('dark')}}}</style>`,
    rect(0, 0, width, height, { fill: 'background' }),
    ...body,
    '</svg>',
    '',
  ].join('\n');
}

/**
 * The same drawing as a part of a page. The page has the colours, in {@link paletteCss}.
 *
 * @param file from {@link svgFile}
 * @param alt description of the drawing for screen readers
 */
export function inlineSvg(file: string, alt: string): string {
  return file
    .replace(/<style>.*?<\/style>\n/s, '')
    .replace(/<title>.*?<\/title>\n/s, '')
    .replace('role="img"', `role="img" aria-label="${escaped(alt)}" class="diagram"`)
    .trim();
}

function escaped(content: string): string {
  return content.replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('"', '&quot;');
}
