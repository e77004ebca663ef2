/** @file `acdit evaluate`: how good are samples, as papers measure it? */

import { ArgumentError } from '../errors.ts';
import { INCEPTION_SCORE_CHUNK } from '../evaluation/inception-score.ts';
import { KID_SUBSET_SIZE, KID_SUBSETS } from '../evaluation/kernel-distance.ts';
import { metricTable } from '../evaluation/report/metric-table.ts';
import {
  type EvaluateSamplesOptions,
  type EvaluateSamplesResult,
  evaluateSamples,
  requireOutputs,
  writeEvaluationReport,
} from '../runs/evaluate.ts';
import { clipFlags, clipProtocol } from './clip-flags.ts';
import { type CommandContext, defineCommand } from './command.ts';
import { deviceFlags, openDevice } from './device.ts';
import type { Flags, FlagValues } from './flags.ts';
import { networkFlags, networkOptions } from './network-flags.ts';
import { overwriteFlags } from './overwrite.ts';
import { pixelFlags } from './pixel-flags.ts';
import { outputFile, wholeNumber } from './values.ts';

const evaluateFlags = {
  ...networkFlags,
  ...clipFlags,
  size: {
    value: 'N',
    parse: wholeNumber(),
    help: 'crop images and frames to N x N, as in training (default: no crop)',
  },
  'save-features': {
    value: 'F.npz',
    parse: outputFile('.npz'),
    help: 'keep the features of the samples, for later runs',
  },
  'save-reference': {
    value: 'F.npz',
    parse: outputFile('.npz'),
    help: 'keep the features of the reference, for later runs',
  },
  'kid-subsets': {
    value: 'N',
    parse: wholeNumber(0),
    default: String(KID_SUBSETS),
    help: 'random subsets of the KID; 0 takes all samples at once',
  },
  'kid-subset-size': {
    value: 'N',
    parse: wholeNumber(2),
    default: String(KID_SUBSET_SIZE),
    help: 'samples of each set per subset',
  },
  'is-chunk': {
    value: 'N',
    parse: wholeNumber(),
    default: String(INCEPTION_SCORE_CHUNK),
    help: 'chunk size of the Inception Score',
  },
  seed: {
    value: 'N',
    parse: wholeNumber(0),
    default: '0',
    help: 'random seed of the subsets, videos and clips',
  },
  float16: { help: "compute precision and recall with float16's rounding, as the ADM evaluator does" },
  'divide-by-n': { help: 'divide covariances by N, as some FVD programs do, not by N - 1' },
  ...pixelFlags,
  report: {
    value: 'F.html',
    parse: outputFile('.html'),
    help: 'write a page with the metrics, images and charts of both sets',
  },
  ...overwriteFlags,
  ...deviceFlags,
  json: { help: 'print the metrics as one JSON object, without a progress bar' },
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
  run: ({ values, positionals: [reference, samples] }, context) => {
    if (reference === undefined || samples === undefined) {
      throw new ArgumentError(
        'evaluate needs REFERENCE and SAMPLES, each a folder of images or videos, or an .npz file',
      );
    }
    return runEvaluation(reference, samples, values, context);
  },
});

async function runEvaluation(
  referencePath: string,
  samplesPath: string,
  values: EvaluateValues,
  { report, signal }: CommandContext,
): Promise<undefined> {
  const save = { reference: values['save-reference'], samples: values['save-features'] };
  const paths = { reference: referencePath, samples: samplesPath };
  await requireOutputs([save.reference, save.samples, values.report], paths, values.overwrite);
  const device = await openDevice(values);
  const options = {
    ...paths,
    ...networkOptions(values),
    device,
    metrics: metricOptions(values),
    clips: clipProtocol(values, values.seed),
    maxPixels: values['max-pixels'],
    size: values.size,
    save,
    overwrite: values.overwrite,
    report,
    signal,
  };
  try {
    const result = await evaluateSamples(options);
    const { metrics, protocol, sets } = result;
    report.emit({ ...metrics, protocol, ...passedOverOf(sets) });
    report.print(metricTable(metrics, sets.reference, sets.samples, protocol));
    if (values.report === undefined) return;
    await writeEvaluationReport(values.report, result, options);
    report.print(values.report);
  } finally {
    await device.dispose();
  }
}

function metricOptions(values: EvaluateValues): EvaluateSamplesOptions['metrics'] {
  return {
    kidSubsets: values['kid-subsets'],
    kidSubsetSize: values['kid-subset-size'],
    inceptionScoreChunk: values['is-chunk'],
    seed: values.seed,
    halfPrecision: values.float16,
    divideByN: values['divide-by-n'],
  };
}

/** Returns the ignored files of the two folders, for the JSON output. */
function passedOverOf({ reference, samples }: EvaluateSamplesResult['sets']) {
  if (!reference.ignoredFiles && !samples.ignoredFiles) return undefined;
  return { ignoredFiles: { reference: reference.ignoredFiles, samples: samples.ignoredFiles } };
}
