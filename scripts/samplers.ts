/**
 * @file Compares ways to sample from a bundled model: quality against passes per block, of its default and of its tuned
 * solver (`solver.json`). Prints a table, and writes results.json and quality.svg. Can be interrupted and resumed.
 *
 *     npm run samplers -- DATA OUT [--count 10000] [--exact 100] [--rows NAME,NAME] [--video] [--model MODEL]
 *         [--network NAME] [--real DATA] [--precision int8]
 *
 * DATA is the folder of Fashion-MNIST, whose test images are the reference, or, for another --model and --network, images
 * as `acdit evaluate` takes them. With --video, the first and last frame of each clip are judged, each cut to the item in
 * it. `--exact` samples are compared with an exact solution of 200 steps. `--real` are images of a training set, of which
 * as many are measured as samples: what a perfect model would reach.
 */

import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { processor } from '../bench/processor.ts';
import { openModel, type StoredModel } from '../src/checkpoints/load.ts';
import { ArgumentError } from '../src/errors.ts';
import { closingAfter } from '../src/io/byte-source.ts';
import type { AcditConfig } from '../src/models/acdit/config.ts';
import { evaluateSamples, sampleNpz } from '../src/runs/index.ts';
import { openCpu } from '../src/runtime/node.ts';
import { PRECISIONS } from '../src/sampling/precision.ts';
import { exactness } from './samplers/exactness.ts';
import { cutFrames, referenceFrames } from './samplers/frames.ts';
import { realImages } from './samplers/images-npz.ts';
import { qualityPlot } from './samplers/plot.ts';
import { type Row, type RowResult, rowsOf } from './samplers/rows.ts';

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    count: { type: 'string', default: '10000' },
    exact: { type: 'string', default: '100' },
    rows: { type: 'string' },
    video: { type: 'boolean', default: false },
    /** A bundled model or a folder (default: fashion-mnist, or moving-fashion-mnist with --video). */
    model: { type: 'string' },
    network: { type: 'string', default: 'fashion-mnist' },
    real: { type: 'string' },
    precision: { type: 'string', default: 'fp32' },
    threads: { type: 'string', default: '1' },
  },
});
const missing = (): never => {
  throw new ArgumentError(
    'samplers: expected a data folder, a folder for the results, and a precision that exists',
  );
};
const [data = missing(), out = missing()] = positionals;
const precision = PRECISIONS.find((name) => name === values.precision) ?? missing();
const device = openCpu({ threads: Number(values.threads) });
mkdirSync(out, { recursive: true });

/** The result of a step that is done once, kept as a JSON file. */
async function once<T>(name: string, work: () => Promise<T>): Promise<T> {
  const path = join(out, name);
  if (!existsSync(path)) writeFileSync(path, `${JSON.stringify(await work(), null, 2)}\n`);
  return JSON.parse(readFileSync(path, 'utf8'));
}

async function metricsOf(model: StoredModel, row: Row, reference: string): Promise<RowResult['metrics']> {
  const npz = join(out, `${row.name}.npz`);
  const count = Number(values.count);
  const perClass = Math.ceil(count / model.config.classes);
  await sampleNpz({ model, device, npz, perClass, seed: 0, precision, ...row.settings });
  return compared(reference, values.video ? await cutFrames(npz, join(out, `${row.name}-frames.npz`)) : npz);
}

async function compared(reference: string, samples: string): Promise<RowResult['metrics']> {
  const { metrics } = await evaluateSamples({ reference, samples, device, network: values.network });
  return JSON.parse(JSON.stringify(metrics));
}

/** Measures `count` real images like samples. @returns a line of the table */
async function measureReal(config: AcditConfig, data: string, reference: string): Promise<string> {
  const metrics = await once(`real-${values.count}.json`, async () =>
    compared(reference, await realImages(data, config, Number(values.count), join(out, 'real.npz'))),
  );
  return line(['real images', '', ...METRICS.map(([, show]) => show(metrics)), '', '']);
}

async function measure(model: StoredModel, row: Row, reference: string): Promise<RowResult> {
  const id = `${row.name}-${values.count}`;
  const exact = await once(`${row.name}-exact-${values.exact}.json`, () =>
    exactness(model, device, row, Number(values.exact), out, precision),
  );
  const metrics = await once(`${id}.json`, () => metricsOf(model, row, reference));
  return { ...row, ...exact, samples: Number(values.count), metrics };
}

type Column<T> = readonly [name: string, show: (of: T) => string];

const METRICS: readonly Column<RowResult['metrics']>[] = [
  ['Fréchet distance', ({ frechetDistance = Number.NaN }) => frechetDistance.toFixed(2)],
  ['label accuracy', ({ labelAccuracy = Number.NaN }) => `${(100 * labelAccuracy).toFixed(1)}%`],
  ['precision', ({ precision = Number.NaN }) => precision.toFixed(3)],
  ['recall', ({ recall = Number.NaN }) => recall.toFixed(3)],
];

const COLUMNS: readonly Column<RowResult>[] = [
  ['sampler', ({ title }) => title],
  ['passes per block', ({ passes }) => passes.toFixed(1)],
  ...METRICS.map(([name, show]): Column<RowResult> => [name, ({ metrics }) => show(metrics)]),
  [
    'PSNR, median / worst tenth',
    ({ psnr }) => `${psnr.median.toFixed(1)} / ${psnr.worstTenth.toFixed(1)} dB`,
  ],
  ['processor seconds per sample', ({ seconds }) => seconds.toFixed(3)],
];

function line(cells: readonly string[]): string {
  return `| ${cells.join(' | ')} |`;
}

function table(results: readonly RowResult[]): string {
  return [
    line(COLUMNS.map(([name]) => name)),
    line(COLUMNS.map(() => '---')),
    ...results.map((row) => line(COLUMNS.map(([, show]) => show(row)))),
  ].join('\n');
}

const model = await openModel(values.model ?? (values.video ? 'moving-fashion-mnist' : 'fashion-mnist'));
await closingAfter(model.archive, async () => {
  const tuned = (await model.describedSolver?.()) && (await model.tunedSolver?.());
  const testImages = join(data, 't10k-images-idx3-ubyte.gz');
  const images = existsSync(testImages) ? testImages : data;
  const reference = values.video ? await referenceFrames(data, join(out, 'reference-frames.npz')) : images;
  const wanted = values.rows?.split(',');
  const rows = rowsOf(model.config, tuned).filter(({ name }) => !wanted || wanted.includes(name));
  const results: RowResult[] = [];
  for (const row of rows) {
    results.push(await measure(model, row, reference));
    writeFileSync(join(out, 'results.json'), `${JSON.stringify(results, null, 2)}\n`);
    console.error(table(results.slice(-1)).split('\n').at(-1));
  }
  writeFileSync(join(out, 'quality.svg'), qualityPlot(results));
  const real = values.real ? `\n${await measureReal(model.config, values.real, reference)}` : '';
  console.log(`${values.count} samples, ${processor()}\n\n${table(results)}${real}`);
});
await device.dispose();
