/** @file An attention plan as an SVG file, with text drawn from the built-in font: it needs no font installed. */

import { textImage } from '../media/text.ts';
import { type BlockPlan, headline } from '../models/acdit/plan-cells.ts';
import { type PlanStyle, planDrawing, rect, round } from '../models/acdit/plan-drawing.ts';

const COLORS = {
  skipped: '#edf0f3',
  masked: '#f1b27f',
  attended: '#2f6db3',
  outline: '#14273d',
  text: '#24292f',
};
/** Pixels of the drawing per pixel of the font. */
const FONT_SCALE = 1.5;
/** Height of the title, and of each of its lines. */
const [TITLE_HEIGHT, LINE_HEIGHT] = [64, 22];

/** Returns the drawing with its title, as a file. */
export function planSvg(plan: BlockPlan): string {
  const title = headline(plan);
  const lines = title.split('\n');
  const { width, height, body } = planDrawing(plan, { color: (name) => COLORS[name], text });
  const fullWidth = Math.max(width, ...lines.map((line) => 24 + FONT_SCALE * textImage(line).width));
  const fullHeight = height + TITLE_HEIGHT;
  return [
    `<svg xmlns="http://www.w3.org/2000/svg" width="${fullWidth}" height="${fullHeight}" viewBox="0 0 ${fullWidth} ${fullHeight}" role="img">`,
    `<title>${lines.join('; ')}</title>`,
    rect(0, 0, fullWidth, fullHeight, { fill: '#ffffff' }),
    ...lines.map((line, i) => text(line, 12, 22 + LINE_HEIGHT * i)),
    `<g transform="translate(0 ${TITLE_HEIGHT})">`,
    ...body,
    '</g>',
    '</svg>',
    '',
  ].join('\n');
}

const text: PlanStyle['text'] = (content, x, y, { anchor = 'start', upwards = false } = {}) => {
  const { width, height } = textImage(content);
  const left = anchor === 'middle' ? (-width * FONT_SCALE) / 2 : 0;
  const turned = upwards ? ' rotate(-90)' : '';
  const shift = `translate(${round(left)} ${round((-height * FONT_SCALE) / 2)})`;
  return `<path transform="translate(${round(x)} ${round(y)})${turned} ${shift} scale(${FONT_SCALE})" fill="${COLORS.text}" d="${letters(content)}"/>`;
};

/** Returns a path in which each run of set pixels of the font is one subpath. */
function letters(content: string): string {
  const { width, height, data } = textImage(content);
  let path = '';
  for (let row = 0; row < height; row++) {
    for (let start = 0; start < width; start++) {
      if (data[row * width + start] !== 0) continue;
      let end = start + 1;
      while (end < width && data[row * width + end] === 0) end++;
      path += `M${start} ${row}h${end - start}v1h${start - end}z`;
      start = end;
    }
  }
  return path;
}
