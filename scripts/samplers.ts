/**
 * @file Compares ways to sample from a bundled model: quality against passes per block, of its default and of its tuned
 * solver (`solver.json`). Prints a table, and writes results.json and quality.svg. Can be interrupted and resumed.
 *
 *     npm run samplers -- DATA OUT [--count 10000] [--exact 100] [--rows NAME,NAME] [--video] [--model FOLDER]
 *         [--precision int8]
 *
 * DATA is the folder of Fashion-MNIST; its test images are the reference. With --video, the first and last frame of each
 * clip are judged, each cut to the item in it. `--exact` samples are compared with an exact solution of 200 steps.
 */

import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { processor } from '../bench/processor.ts';
import { openModel, type StoredModel } from '../src/checkpoints/load.ts';
import type { SolverFile } from '../src/checkpoints/solver-file.ts';
import { ArgumentError } from '../src/errors.ts';
import { closingAfter } from '../src/io/byte-source.ts';
import { bundledModel, evaluateSamples, sampleNpz } from '../src/runs/index.ts';
import { openCpu } from '../src/runtime/node.ts';
import { PRECISIONS } from '../src/sampling/precision.ts';
import { exactness } from './samplers/exactness.ts';
import { cutFrames, referenceFrames } from './samplers/frames.ts';
import { qualityPlot } from './samplers/plot.ts';
import { type Row, type RowResult, rowsOf } from './samplers/rows.ts';

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    count: { type: 'string', default: '10000' },
    exact: { type: 'string', default: '100' },
    rows: { type: 'string' },
    video: { type: 'boolean', default: false },
    model: { type: 'string' },
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
  const samples = values.video ? await cutFrames(npz, join(out, `${row.name}-frames.npz`)) : npz;
  const { metrics } = await evaluateSamples({ reference, samples, device, network: 'fashion-mnist' });
  return JSON.parse(JSON.stringify(metrics));
}

async function measure(model: StoredModel, row: Row, reference: string): Promise<RowResult> {
  const id = `${row.name}-${values.count}`;
  const exact = await once(`${row.name}-exact-${values.exact}.json`, () =>
    exactness(model, device, row, Number(values.exact), out, precision),
  );
  const metrics = await once(`${id}.json`, () => metricsOf(model, row, reference));
  return { ...row, ...exact, samples: Number(values.count), metrics };
}

const COLUMNS: readonly (readonly [string, (row: RowResult) => string])[] = [
  ['sampler', ({ title }) => title],
  ['passes per block', ({ passes }) => passes.toFixed(1)],
  ['Fréchet distance', ({ metrics }) => (metrics.frechetDistance ?? Number.NaN).toFixed(2)],
  ['label accuracy', ({ metrics }) => `${(100 * (metrics.labelAccuracy ?? Number.NaN)).toFixed(1)}%`],
  ['precision', ({ metrics }) => (metrics.precision ?? Number.NaN).toFixed(3)],
  ['recall', ({ metrics }) => (metrics.recall ?? Number.NaN).toFixed(3)],
  [
    'PSNR, median / worst tenth',
    ({ psnr }) => `${psnr.median.toFixed(1)} / ${psnr.worstTenth.toFixed(1)} dB`,
  ],
  ['processor seconds per sample', ({ seconds }) => seconds.toFixed(3)],
];

function table(results: readonly RowResult[]): string {
  const line = (cells: readonly string[]): string => `| ${cells.join(' | ')} |`;
  return [
    line(COLUMNS.map(([name]) => name)),
    line(COLUMNS.map(() => '---')),
    ...results.map((row) => line(COLUMNS.map(([, show]) => show(row)))),
  ].join('\n');
}

const model = await openModel(values.model ?? bundledModel(values.video ? 'video' : 'image'));
await closingAfter(model.archive, async () => {
  const tuned = (await model.tunedSolver?.()) as SolverFile;
  const reference = values.video
    ? await referenceFrames(data, join(out, 'reference-frames.npz'))
    : join(data, 't10k-images-idx3-ubyte.gz');
  const wanted = values.rows?.split(',');
  const rows = rowsOf(model.config, tuned).filter(({ name }) => !wanted || wanted.includes(name));
  const results: RowResult[] = [];
  for (const row of rows) {
    results.push(await measure(model, row, reference));
    writeFileSync(join(out, 'results.json'), `${JSON.stringify(results, null, 2)}\n`);
    console.error(table(results.slice(-1)).split('\n').at(-1));
  }
  writeFileSync(join(out, 'quality.svg'), qualityPlot(results));
  console.log(`${values.count} samples, ${processor()}\n\n${table(results)}`);
});
await device.dispose();
