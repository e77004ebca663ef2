/** @file `acdit evaluate`: how good are samples, as papers measure it? */

import { resolve } from 'node:path';
import { ArgumentError } from '../errors.ts';
import { evaluate } from '../evaluation/evaluate.ts';
import type { EvaluationSet } from '../evaluation/evaluation-set.ts';
import { printableJson, printableMessage } from '../io/printable.ts';
import { clipFlags, clipProtocol } from './clip-flags.ts';
import { defineCommand, type Terminal } from './command.ts';
import { deviceFlags, openDevice } from './device.ts';
import { writeReport } from './evaluation-report.ts';
import { prepareSets, setOptions } from './evaluation-sets.ts';
import { networkFlags } from './feature-network.ts';
import type { Flags, FlagValues } from './flags.ts';
import { metricTable, statedProtocols } from './metric-table.ts';
import { overwriteFlags, requireFreeFiles } from './overwrite.ts';
import { maxPixelsOf, pixelFlags } from './pixel-flags.ts';
import { type Progress, startProgress } from './progress.ts';
import { outputFile, wholeNumber } from './values.ts';

const evaluateFlags = {
  ...networkFlags,
  ...clipFlags,
  size: {
    type: 'string',
    value: 'N',
    help: 'crop images and frames to N x N, as in training (default: no crop)',
  },
  'save-features': {
    type: 'string',
    value: 'F.npz',
    help: 'keep the features of the samples, for later runs',
  },
  'save-reference': {
    type: 'string',
    value: 'F.npz',
    help: 'keep the features of the reference, for later runs',
  },
  'kid-subsets': { type: 'string', value: 'N', help: 'random subsets of the KID; 0 takes all at once (100)' },
  'kid-subset-size': { type: 'string', value: 'N', help: 'samples of each set in a subset (1000)' },
  'is-chunk': { type: 'string', value: 'N', help: 'samples a chunk of the Inception Score (5000)' },
  seed: { type: 'string', value: 'N', help: 'of the choice of subsets, and of videos and clips (0)' },
  float16: {
    type: 'boolean',
    help: "precision and recall with float16's rounding, as the ADM evaluator has them",
  },
  'divide-by-n': {
    type: 'boolean',
    help: 'covariances divided by N, as some programs for the FVD have them, not N - 1',
  },
  ...pixelFlags,
  report: {
    type: 'string',
    value: 'F.html',
    help: 'write a page with the metrics, pictures and charts of both sets',
  },
  ...overwriteFlags,
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
    'REFERENCE and SAMPLES are each a folder of images (at any depth; of one size, or with --size), an .npz file, or an\n' +
    'IDX file of images. These arrays of an .npz file are used:\n' +
    "images 'arr_0', uint8 (N, H, W, 3), as the ADM suite has them; or 'features' (N, D) with 'logits' (N, classes); and\n" +
    "stored statistics 'mu' (D) and 'sigma' (D, D), and 'mu_s' and 'sigma_s' of spatial features, which are then not\n" +
    "computed. The text 'network' says what the features are of: a Fréchet distance is called FID only if it is\n" +
    "'inception-2015-12-05' in both.\n" +
    'Videos are a folder of them (files, or folders of frames), or arr_0 of (N, T, H, W, 3). Their distance is the FVD; which\n' +
    'clips it is of is part of the output.',
  run: ({ values, positionals: [reference, samples] }, terminal) => {
    if (reference === undefined || samples === undefined) {
      throw new ArgumentError(
        'evaluate needs REFERENCE and SAMPLES, each a folder of images or videos, or an .npz file',
      );
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
    divideByN: values['divide-by-n'] === true,
  };
  const clips = clipProtocol(values, options.seed);
  const save = { reference: file(values, 'save-reference'), samples: file(values, 'save-features') };
  const report = values.report === undefined ? undefined : outputFile('report', values.report, '.html');
  const outputs = [save.reference, save.samples, report];
  requireApart(outputs, [referencePath, samplesPath]);
  await requireFreeFiles(outputs, values.overwrite);
  const device = await openDevice(values);
  const quiet = values.json === true;
  const warnings: string[] = [];
  const onWarning = (message: string): void => {
    warnings.push(message);
    stderr.write(`warning: ${printableMessage(message)}\n`);
  };
  const stages = stageProgress(stderr, quiet);
  try {
    const paths = { reference: referencePath, samples: samplesPath };
    const context = {
      device,
      signal,
      stream: stderr,
      quiet,
      onWarning,
      clips,
      maxPixels: maxPixelsOf(values),
      size: number(values, 'size', 1),
    };
    const { reference, samples } = await prepareSets(paths, save, values, context);
    const metrics = await evaluate(device, reference, samples, {
      ...options,
      signal,
      onProgress: stages.update,
      onWarning,
    });
    stages.finish();
    const protocol = statedProtocols(reference, samples, options.divideByN);
    stdout.write(
      values.json
        ? `${printableJson({ ...metrics, protocol, ...passedOverOf(reference, samples) })}\n`
        : metricTable(metrics, reference, samples, protocol),
    );
    if (report !== undefined) {
      const sets = { reference, samples };
      const opening = setOptions(values, context);
      await writeReport(
        report,
        { paths, sets, metrics, protocol, options, warnings },
        { device, signal, opening },
      );
      if (!quiet) stdout.write(`${report}\n`);
    }
  } finally {
    stages.finish();
    await device.dispose();
  }
}

/** Returns the ignored files of the two folders, for the JSON output. */
function passedOverOf(reference: EvaluationSet, samples: EvaluationSet) {
  if (!reference.passedOver && !samples.passedOver) return undefined;
  return { passedOver: { reference: reference.passedOver, samples: samples.passedOver } };
}

/** @throws {ArgumentError} if a file would be written twice, or over one of the sets. */
function requireApart(outputs: readonly (string | undefined)[], sets: readonly string[]): void {
  const taken = new Set(sets.map((path) => resolve(path)));
  for (const path of outputs) {
    if (path === undefined) continue;
    if (taken.has(resolve(path)))
      throw new ArgumentError(`${path} is given twice; give each file a name of its own`);
    taken.add(resolve(path));
  }
}

function number(
  values: EvaluateValues,
  flag: 'size' | 'kid-subsets' | 'kid-subset-size' | 'is-chunk' | 'seed',
  minimum: number,
): number | undefined {
  const text = values[flag];
  return text === undefined ? undefined : wholeNumber(flag, text, minimum);
}

function file(values: EvaluateValues, flag: 'save-features' | 'save-reference'): string | undefined {
  const path = values[flag];
  return path === undefined ? undefined : outputFile(flag, path, '.npz');
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
