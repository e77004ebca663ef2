/** @file Colours of diagrams. They are CSS variables, so that the same drawing follows a page into the dark. */

/** Light and dark. Blue and orange stay apart for colour-blind readers. */
const COLORS = {
  background: ['#ffffff', '#1b1b1f'],
  text: ['#24292f', '#e3e5e8'],
  outline: ['#14273d', '#d5dde6'],
  attended: ['#2f6db3', '#5f9fe0'],
  masked: ['#f1b27f', '#8f5c2c'],
  skipped: ['#edf0f3', '#2b2e35'],
  cached: ['#2f6db3', '#5f9fe0'],
  noised: ['#b35a10', '#e89a55'],
  cellText: ['#ffffff', '#101418'],
} as const;

export type Color = keyof typeof COLORS;

/** A colour as an attribute of SVG. */
export function color(name: Color): string {
  return `var(--diagram-${name})`;
}

/** The colours for a CSS rule. */
export function paletteCss(scheme: 'light' | 'dark'): string {
  const index = scheme === 'light' ? 0 : 1;
  return Object.entries(COLORS)
    .map(([name, values]) => `--diagram-${name}:${values[index]};`)
    .join('');
}
