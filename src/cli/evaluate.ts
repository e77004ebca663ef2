/** @file `acdit evaluate`: how good are samples, as papers measure it? */

import type { Ranks } from '../distributed/communicator.ts';
import { ArgumentError } from '../errors.ts';
import { CLIP_PLACES, CLIP_PROTOCOL } from '../evaluation/clips.ts';
import { KID_SUBSET_SIZE, KID_SUBSETS } from '../evaluation/kernel-distance.ts';
import { INCEPTION_SCORE_CHUNK } from '../evaluation/logit-scores.ts';
import { metricTable } from '../evaluation/report/metric-table.ts';
import { closingAfter } from '../io/byte-source.ts';
import { CLIP_RESIZINGS } from '../models/i3d/i3d.ts';
import { PREPROCESSINGS } from '../models/inception/inception.ts';
import { evaluateOnRanks, evaluateSamples, writeEvaluationReport } from '../runs/evaluate.ts';
import { I3D, INCEPTION, NETWORKS } from '../runs/feature-network.ts';
import { type CommandArguments, type CommandContext, defineCommand } from './command.ts';
import { deviceFlags, openDevice } from './device.ts';
import { choiceFlag, countFlag, type Flags, fileFlag, realNumber } from './flags.ts';
import { onRanks, rankFlags } from './ranks.ts';
import { overwriteFlags, pixelFlags } from './shared-flags.ts';

const evaluateFlags = {
  network: {
    value: 'NAME',
    help: `${NETWORKS.join(', ')} or a classifier's folder (default: ${INCEPTION}, for videos ${I3D})`,
  },
  inception: { value: 'FILE', help: 'weights of the Inception network: .pth, .pb or .safetensors' },
  preprocessing: choiceFlag(
    PREPROCESSINGS,
    `resizing of images for Inception: ${PREPROCESSINGS.join(' or ')}`,
    { default: 'adm' },
  ),
  i3d: { value: 'FILE', help: 'weights of I3D for videos: .pt or .safetensors' },
  'i3d-epsilon': {
    value: 'E',
    parse: realNumber('from 0 to below 1, such as 1e-3', (value) => value >= 0 && value < 1),
    help: "epsilon of I3D's batch norms (default: 1e-5 for the file of VideoGPT and TATS, else 1e-3)",
  },
  'clip-resize': choiceFlag(CLIP_RESIZINGS, `resizing of frames for I3D: ${CLIP_RESIZINGS.join(' or ')}`, {
    default: 'tensorflow',
  }),
  'clip-frames': countFlag('frames per clip', { default: CLIP_PROTOCOL.frames }),
  'clip-stride': countFlag('frame stride within the video', { default: CLIP_PROTOCOL.stride }),
  'clips-per-video': countFlag('clips per video', { default: CLIP_PROTOCOL.clipsPerVideo }),
  'clip-places': choiceFlag(
    CLIP_PLACES,
    'places of clips in their video: even (the first at its start) or random',
    { default: CLIP_PROTOCOL.places },
  ),
  videos: countFlag('use N random videos of each set (default: all)'),
  size: countFlag('crop images and frames to N x N, as in training (default: no crop)'),
  'save-features': fileFlag('.npz', 'keep the features of the samples, for later runs'),
  'save-reference': fileFlag('.npz', 'keep the features of the reference, for later runs'),
  'kid-subsets': countFlag('random subsets of the KID; 0 takes all samples at once', {
    minimum: 0,
    default: KID_SUBSETS,
  }),
  'kid-subset-size': countFlag('samples of each set per subset', { minimum: 2, default: KID_SUBSET_SIZE }),
  'is-chunk': countFlag('chunk size of the Inception Score', { default: INCEPTION_SCORE_CHUNK }),
  seed: countFlag('random seed of the subsets, videos and clips', { minimum: 0, default: 0 }),
  float16: { help: "compute precision and recall with float16's rounding, as the ADM evaluator does" },
  'divide-by-n': { help: 'divide covariances by N, as some FVD programs do, not by N - 1' },
  ...pixelFlags,
  report: fileFlag('.html', 'write a page with the metrics, images and charts of both sets'),
  ...overwriteFlags,
  ...deviceFlags,
  ...rankFlags,
  json: { help: 'print the metrics as one JSON object, without a progress bar' },
} as const satisfies Flags;

export const command = defineCommand({
  name: 'evaluate',
  positionals: ['REFERENCE', 'SAMPLES'],
  summary:
    'Compare samples with a reference: Fréchet distance, Inception Score, precision, recall, density, coverage and KID,\n' +
    'if the two files allow it.',
  flags: evaluateFlags,
  examples: [
    'acdit evaluate reference.npz samples.npz --report report.html',
    'acdit evaluate images samples --network fashion-mnist',
  ],
  notes: [
    'REFERENCE and SAMPLES are each a folder of images (at any depth; of one size, or with --size), an .npz file, or an ' +
      'IDX file of images.',
    "In an .npz file, images are 'arr_0', uint8 (N, H, W, 3), as in the ADM suite. Features are 'features' (N, D) with " +
      "'logits' (N, classes). Stored statistics are 'mu' (D) and 'sigma' (D, D), and 'mu_s' and 'sigma_s' of spatial " +
      'features; they are used as they are.',
    "The text 'network' names the network of the features: a Fréchet distance is called FID only if it is " +
      "'inception-2015-12-05' in both.",
    'Videos are a folder of them (files, or folders of frames), or arr_0 of (N, T, H, W, 3). Their distance is the FVD; ' +
      'the output states which clips were compared.',
  ].join('\n'),
  run: (args, context) => onRanks(context, args.values, (own, ranks) => runEvaluate(args, own, ranks)),
});

async function runEvaluate(
  { values, positionals: [reference, samples] }: CommandArguments<typeof evaluateFlags>,
  { report, signal }: CommandContext,
  ranks: Ranks | undefined,
): Promise<void> {
  if (reference === undefined || samples === undefined) {
    throw new ArgumentError(
      'evaluate needs REFERENCE and SAMPLES, each a folder of images or videos, or an .npz file',
    );
  }
  const save = { reference: values.saveReference, samples: values.saveFeatures, report: values.report };
  await closingAfter(await openDevice(values), async (device) => {
    const options = {
      ...values,
      reference,
      samples,
      device,
      metrics: { ...values, inceptionScoreChunk: values.isChunk, halfPrecision: values.float16 },
      clips: {
        frames: values.clipFrames,
        stride: values.clipStride,
        clipsPerVideo: values.clipsPerVideo,
        places: values.clipPlaces,
        videos: values.videos,
        seed: values.seed,
      },
      save,
      report,
      signal,
    };
    const result = await (ranks ? evaluateOnRanks(options, ranks) : evaluateSamples(options));
    if (!result) return;
    const { metrics, protocol, sets } = result;
    const ignoredFiles = { reference: sets.reference.ignoredFiles, samples: sets.samples.ignoredFiles };
    const ignores = ignoredFiles.reference ?? ignoredFiles.samples;
    report.emit({ ...metrics, protocol, ...(ignores && { ignoredFiles }) });
    report.print(metricTable(metrics, sets, protocol));
    if (values.report === undefined) return;
    const own = ranks ? AbortSignal.any([signal, ranks.wish]) : signal;
    await writeEvaluationReport(values.report, result, { ...options, signal: own });
    report.print(values.report);
  });
}
