/**
 * @file Draws the loss of a training run, raw and smoothed, over steps, for docs/models.md.
 *
 *     npm run plot-loss -- runs/fashion-mnist/metrics.jsonl docs/images/fashion-mnist-loss.png
 */

import { at } from '../src/at.ts';
import { tickStep } from '../src/evaluation/report/charts.ts';
import { type Image, writePng } from '../src/media/index.ts';
import { readMetrics } from '../src/training/index.ts';
import { rasterize, write } from './drawing/drawing.ts';

interface Point {
  readonly step: number;
  readonly loss: number;
}

/** Maps data to pixels, and lists the grid lines. */
interface Axis {
  readonly toPixel: (value: number) => number;
  readonly ticks: readonly number[];
}

const WIDTH = 960;
const HEIGHT = 480;
const FRAME = { left: 90, right: WIDTH - 30, top: 50, bottom: HEIGHT - 70 };

function readLosses(path: string): Point[] {
  const points = readMetrics(path).flatMap(({ step, loss }) =>
    typeof loss === 'number' && loss > 0 ? [{ step, loss }] : [],
  );
  if (points.length < 2)
    throw new Error(`${path}: expected at least two lines with a loss, got ${points.length}`);
  return points;
}

/** Geometric mean over a centred window of about 2% of the points. */
function smooth(points: readonly Point[]): Point[] {
  const half = Math.max(1, Math.round(points.length / 100));
  return points.map(({ step }, i) => {
    const window = points.slice(Math.max(0, i - half), i + half + 1);
    const mean = window.reduce((sum, { loss }) => sum + Math.log(loss), 0) / window.length;
    return { step, loss: Math.exp(mean) };
  });
}

function stepAxis(points: readonly Point[]): Axis {
  const last = at(points, -1).step;
  const every = tickStep(last, 10);
  return {
    toPixel: (step) => FRAME.left + (step / last) * (FRAME.right - FRAME.left),
    ticks: Array.from({ length: Math.floor(last / every) + 1 }, (_, i) => i * every),
  };
}

/** Logarithmic: a loss falls fast at first, and the important part is close to its end. */
function lossAxis(points: readonly Point[]): Axis {
  const losses = points.map(({ loss }) => loss);
  const low = Math.min(...losses) * 0.95;
  const high = Math.max(...losses) * 1.05;
  const decades = [-4, -3, -2, -1, 0, 1];
  const candidates = decades.flatMap((decade) => [1, 2, 3, 5, 7].map((factor) => factor * 10 ** decade));
  return {
    toPixel: (loss) =>
      FRAME.bottom - (Math.log(loss / low) / Math.log(high / low)) * (FRAME.bottom - FRAME.top),
    ticks: candidates.filter((value) => value >= low && value <= high),
  };
}

function polyline(points: readonly Point[], x: Axis, y: Axis, stroke: string, width: number): string {
  const path = points.map(({ step, loss }) => `${x.toPixel(step).toFixed(1)},${y.toPixel(loss).toFixed(1)}`);
  return `<polyline points="${path.join(' ')}" fill="none" stroke="${stroke}" stroke-width="${width}"/>`;
}

function drawLines(points: readonly Point[], x: Axis, y: Axis): string {
  const { left, right, top, bottom } = FRAME;
  const line = (x1: number, y1: number, x2: number, y2: number, stroke: string): string =>
    `<line x1="${x1}" y1="${y1}" x2="${x2}" y2="${y2}" stroke="${stroke}" stroke-width="1"/>`;
  return [
    `<svg xmlns="http://www.w3.org/2000/svg" width="${WIDTH}" height="${HEIGHT}">`,
    '<rect width="100%" height="100%" fill="white"/>',
    ...x.ticks.map((tick) => line(x.toPixel(tick), top, x.toPixel(tick), bottom, '#e6e6e6')),
    ...y.ticks.map((tick) => line(left, y.toPixel(tick), right, y.toPixel(tick), '#e6e6e6')),
    polyline(points, x, y, '#a9c9ec', 1),
    polyline(smooth(points), x, y, '#1f5fa8', 2.5),
    line(left, bottom, right, bottom, '#333333'),
    line(left, top, left, bottom, '#333333'),
    '</svg>',
  ].join('\n');
}

function writeLabels(image: Image, points: readonly Point[], x: Axis, y: Axis): void {
  for (const tick of x.ticks) write(image, String(tick), x.toPixel(tick), FRAME.bottom + 18, 0);
  for (const tick of y.ticks)
    write(image, String(Number(tick.toPrecision(2))), FRAME.left - 10, y.toPixel(tick), -1);
  write(image, 'optimizer steps', (FRAME.left + FRAME.right) / 2, HEIGHT - 22, 0);
  const final = at(smooth(points), -1);
  const title = 'mean squared error of the predicted noise (log scale)';
  write(image, `${title}, ${final.loss.toFixed(4)} at ${final.step}`, FRAME.left, 24, 1);
}

async function main(metrics: string | undefined, output: string | undefined): Promise<void> {
  if (!metrics || !output) throw new Error('usage: npm run plot-loss -- METRICS.jsonl OUT.png');
  const points = readLosses(metrics);
  const x = stepAxis(points);
  const y = lossAxis(points);
  const image = await rasterize(drawLines(points, x, y));
  writeLabels(image, points, x, y);
  await writePng(output, image);
  console.log(output);
}

await main(process.argv[2], process.argv[3]);
