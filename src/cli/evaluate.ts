/** @file `acdit evaluate`: how good are samples, as papers measure it? */

import { ArgumentError } from '../errors.ts';
import { evaluate, type Metrics } from '../evaluation/evaluate.ts';
import { type EvaluationSet, readEvaluationSet } from '../evaluation/evaluation-set.ts';
import { openFile } from '../formats/file-source.ts';
import { openNpz } from '../formats/npz.ts';
import { defineCommand, type Terminal } from './command.ts';
import { deviceFlags, openDevice } from './device.ts';
import type { Flags, FlagValues } from './flags.ts';
import { type Progress, startProgress } from './progress.ts';
import { wholeNumber } from './values.ts';

const evaluateFlags = {
  'kid-subsets': { type: 'string', value: 'N', help: 'random subsets of the KID; 0 takes all at once (100)' },
  'kid-subset-size': { type: 'string', value: 'N', help: 'samples of each set in a subset (1000)' },
  'is-chunk': { type: 'string', value: 'N', help: 'samples a chunk of the Inception Score (5000)' },
  seed: { type: 'string', value: 'N', help: 'of the choice of subsets (0)' },
  float16: {
    type: 'boolean',
    help: "precision and recall with float16's rounding, as the ADM evaluator has them",
  },
  ...deviceFlags,
  json: { type: 'boolean', help: 'print the metrics as one JSON object, and no progress' },
} as const satisfies Flags;

type EvaluateValues = FlagValues<typeof evaluateFlags>;

export const evaluateCommand = defineCommand({
  name: 'evaluate',
  positionals: ['REFERENCE', 'SAMPLES'],
  summary:
    'Compare samples with a reference: Fréchet distance, Inception Score, precision, recall, density, coverage and KID,\n' +
    'as far as the two files allow.',
  flags: evaluateFlags,
  notes:
    "Both are .npz files with 'features' (N, D) and, of the samples, 'logits' (N, classes), or with stored statistics 'mu'\n" +
    "(D) and 'sigma' (D, D), and 'mu_s' and 'sigma_s' of spatial features. The text 'network' says what the features are\n" +
    "of: a Fréchet distance is called FID only if it is 'inception-2015-12-05' in both.",
  run: ({ values, positionals: [reference, samples] }, terminal) => {
    if (reference === undefined || samples === undefined) {
      throw new ArgumentError('evaluate needs REFERENCE and SAMPLES, two .npz files');
    }
    return runEvaluation(reference, samples, values, terminal);
  },
});

async function runEvaluation(
  referencePath: string,
  samplesPath: string,
  values: EvaluateValues,
  { stdout, stderr, signal }: Terminal,
): Promise<undefined> {
  const options = {
    kidSubsets: number(values, 'kid-subsets', 0),
    kidSubsetSize: number(values, 'kid-subset-size', 2),
    inceptionScoreChunk: number(values, 'is-chunk', 1),
    seed: number(values, 'seed', 0),
    halfPrecision: values.float16 === true,
  };
  const device = openDevice(values);
  const stages = stageProgress(stderr, values.json === true);
  try {
    const reference = await readSet(referencePath);
    const samples = await readSet(samplesPath);
    const metrics = await evaluate(device, reference, samples, {
      ...options,
      signal,
      onProgress: stages.update,
      onWarning: (message) => stderr.write(`warning: ${message}\n`),
    });
    stages.finish();
    stdout.write(values.json ? `${JSON.stringify(metrics)}\n` : table(metrics, reference, samples));
  } finally {
    stages.finish();
    await device.dispose();
  }
}

function number(
  values: EvaluateValues,
  flag: 'kid-subsets' | 'kid-subset-size' | 'is-chunk' | 'seed',
  minimum: number,
): number | undefined {
  const text = values[flag];
  return text === undefined ? undefined : wholeNumber(flag, text, minimum);
}

async function readSet(path: string): Promise<EvaluationSet> {
  const npz = await openNpz(await openFile(path));
  try {
    return await readEvaluationSet(npz, path);
  } finally {
    await npz.close();
  }
}

/** A progress bar for each metric that takes its time. */
function stageProgress(stream: Terminal['stderr'], quiet: boolean) {
  let current: { readonly label: string; readonly progress: Progress } | undefined;
  const finish = (): void => {
    current?.progress.finish();
    current = undefined;
  };
  return {
    update(label: string, done: number): void {
      if (current?.label !== label) {
        finish();
        current = { label, progress: startProgress({ stream, total: 100, label, unit: 'part', quiet }) };
      }
      current.progress.update(Math.floor(done * 100));
    },
    finish,
  };
}

/** Metrics of one number each. */
type Score = Exclude<keyof Metrics, 'labelAccuracyByClass'>;

const TITLES: Readonly<Record<Score, string>> = {
  fid: 'FID',
  fvd: 'FVD',
  frechetDistance: 'Fréchet distance',
  sfid: 'sFID',
  inceptionScore: 'Inception Score',
  labelAccuracy: 'label accuracy',
  precision: 'precision',
  recall: 'recall',
  density: 'density',
  coverage: 'coverage',
  kid: 'KID',
};

function table(metrics: Metrics, reference: EvaluationSet, samples: EvaluationSet): string {
  const rows = (Object.keys(TITLES) as Score[]).flatMap((key): [string, string][] => {
    const value = metrics[key];
    return value === undefined ? [] : [[TITLES[key], shown(value)]];
  });
  const byClass = Object.entries(metrics.labelAccuracyByClass ?? {});
  rows.push(...byClass.map(([name, share]): [string, string] => [`  of ${name}`, shown(share)]));
  rows.push(['reference', described(reference)], ['samples', described(samples)]);
  const width = Math.max(...rows.map(([title]) => title.length)) + 2;
  return `${rows.map(([title, text]) => title.padEnd(width) + text).join('\n')}\n`;
}

function shown(value: number): string {
  return Math.abs(value) >= 0.001 || value === 0
    ? String(Number(value.toPrecision(6)))
    : value.toExponential(3);
}

function described({ name, network, features, gaussian }: EvaluationSet): string {
  const dims = features?.shape[1] ?? gaussian?.mean.length;
  const count = features ? `${features.shape[0]} samples` : 'stored statistics';
  const stored = features && gaussian ? ', statistics stored' : '';
  return `${name}: ${count} of ${dims} dimensions${stored}, network ${network ?? 'not stated'}`;
}
