/** @file The flags of `acdit sample`, checked against the model before its weights are read. */

import { readFile } from 'node:fs/promises';
import { linearNoiseSchedule } from '../diffusion/noise-schedule.ts';
import { createSolver, solverNames } from '../diffusion/solvers/index.ts';
import { ArgumentError } from '../errors.ts';
import { parseNpy } from '../formats/npy.ts';
import { VIDEO_FORMATS } from '../media/video-writer.ts';
import { type AcditConfig, defaultGuidance } from '../models/acdit/config.ts';
import { type BatchedRequest, defaultBatch, latentShape } from '../runs/batches.ts';
import type { Continuation } from '../runs/continuation.ts';
import { defaultLabels, type Label, parseLabels, repeatLabels } from '../runs/labels.ts';
import { requireSamplingMemory } from '../runs/memory-check.ts';
import { type ClipSettings, DEFAULT_FPS } from '../runs/video-files.ts';
import { DEFAULT_SEED, DEFAULT_STEPS, planLength } from '../sampling/request.ts';
import { toFloat32 } from '../tensor/convert.ts';
import { requireFinite } from '../tensor/finite.ts';
import type { Tensor } from '../tensor/tensor.ts';
import { checkpointFlags } from './checkpoint-flags.ts';
import type { Terminal } from './command.ts';
import { deviceFlags, deviceName } from './device.ts';
import type { Flags, FlagValues } from './flags.ts';
import { type LabelOrder, type ManyLabels, MOST_SAMPLES, manyLabels, mostPerClass } from './many-labels.ts';
import { overwriteFlags, requireFreeFiles } from './overwrite.ts';
import { vaePath } from './vae-path.ts';
import { choice, guidanceScale, outputFile, perBlock, wholeNumber } from './values.ts';

export const sampleFlags = {
  labels: {
    type: 'string',
    value: 'LIST',
    help: 'classes by name or number: cat,7,"a, b"; per block with slashes: 3/3/7/7 (default: all of a small model)',
  },
  'per-class': { type: 'string', value: 'N', help: 'samples of each label (1; 8 without --labels)' },
  count: {
    type: 'string',
    value: 'N',
    help: 'samples in all, divided among the labels; with --npz, of labels drawn at random',
  },
  steps: {
    type: 'string',
    value: 'N',
    help: 'solver steps a block (25); by block: 25/10/10/10',
    aliases: ['sample_step'],
  },
  cfg: {
    type: 'string',
    value: 'X',
    help: "guidance scale (the model's own, else 1.5, video 2.5); by block: 1.5/2/2/2",
  },
  seed: {
    type: 'string',
    value: 'N',
    help: `seed of the noise (default: ${DEFAULT_SEED})`,
    aliases: ['global_seed'],
  },
  solver: { type: 'string', value: 'NAME', help: solverNames.join(', ') },
  out: {
    type: 'string',
    value: 'DIR',
    help: 'folder of the pictures or clips (samples)',
    aliases: ['save_dir'],
  },
  continue: {
    type: 'string',
    value: 'PATH',
    help: 'go on from the first blocks of a picture, a video, or a folder of frames',
  },
  keep: { type: 'string', value: 'K', help: 'blocks that --continue keeps (all but one)' },
  blocks: {
    type: 'string',
    value: 'N',
    help: "blocks of a clip (the model's own); more are made over a sliding window, which no model is trained for",
  },
  window: {
    type: 'string',
    value: 'N',
    help: 'finished blocks that each block attends (all that were trained)',
  },
  format: {
    type: 'string',
    value: 'NAME',
    help: `of clips: ${VIDEO_FORMATS.join(', ')} (mp4); png is a folder of frames`,
  },
  fps: { type: 'string', value: 'X', help: 'frames of a clip a second (4)' },
  noise: { type: 'string', value: 'F.npy', help: 'starting noise (N, T, B, C), instead of the seed' },
  latents: { type: 'string', value: 'F.npy', help: 'write the final latents (N, T, B, C)' },
  'no-decode': { type: 'boolean', help: 'write latents only, by default to latents.npy in --out' },
  vae: {
    type: 'string',
    value: 'DIR',
    help: 'autoencoder of a model of latents: a diffusers folder, or owner/repo/folder of the Hugging Face Hub',
    aliases: ['vae_path'],
  },
  batch: {
    type: 'string',
    value: 'N',
    help: 'samples at a time (16, with --npz 32, or what has a cache of 1 GB)',
  },
  npz: {
    type: 'string',
    value: 'F.npz',
    help: 'instead of pictures, one file to evaluate: arr_0 uint8 (N, H, W, 3), arr_1 labels; goes on if interrupted',
  },
  video: { type: 'boolean', help: 'with no MODEL: clips, by the bundled video model' },
  ckpt: { type: 'string', value: 'FILE', help: 'the model, as the official scripts name it' },
  ...checkpointFlags,
  precision: { type: 'string', value: 'NAME', help: 'fp32; int8 is not available yet' },
  ...overwriteFlags,
  ...deviceFlags,
  json: { type: 'boolean', help: 'print what was made as JSON, and no progress' },
} as const satisfies Flags;

export type SampleValues = FlagValues<typeof sampleFlags>;

export interface SampleSettings {
  readonly request: BatchedRequest;
  readonly folder: string;
  /** Write pictures. */
  readonly decode: boolean;
  /** Folder of the autoencoder, for a model of latents. */
  readonly vae: string | undefined;
  readonly writesLatents: boolean;
  /** File of the latents, if not in the folder. */
  readonly latentsFile: string | undefined;
  /** How clips are written, if the model makes any. */
  readonly clips: ClipSettings | undefined;
  /** The file that all samples go to, instead of pictures. */
  readonly npz: NpzSettings | undefined;
  /** What is gone on from, if anything. */
  readonly continuation: Pick<Continuation, 'path' | 'keep'> | undefined;
}

/** A file of samples to evaluate. */
export interface NpzSettings {
  readonly path: string;
  readonly order: LabelOrder;
  /** Classes of the samples. */
  readonly classes: readonly number[];
}

/** Of each class, when no labels are given. */
const DEFAULT_PER_CLASS = 8;

/** @throws {ArgumentError} for the first flag that does not fit the model. */
export async function sampleSettings(
  config: AcditConfig,
  values: SampleValues,
  terminal: Terminal,
): Promise<SampleSettings> {
  requirePrecision(values.precision);
  const blocks = values.blocks === undefined ? config.blocks : wholeNumber('blocks', values.blocks);
  const seed = values.seed === undefined ? DEFAULT_SEED : wholeNumber('seed', values.seed, 0);
  const npz = npzSettings(config, values, seed);
  const { labels, notes } = npz ?? chooseLabels(config, values, blocks);
  for (const note of notes) terminal.stderr.write(`note: ${note}\n`);
  const { batch, window, noise, solver = solverNames[0] } = values;
  const request = {
    labels,
    steps: perBlock('steps', values.steps ?? String(DEFAULT_STEPS), blocks, wholeNumber),
    cfg: perBlock('cfg', values.cfg ?? String(defaultGuidance(config)), blocks, guidanceScale),
    solver: choice('solver', solver, solverNames),
    seed,
    noise:
      noise === undefined ? undefined : await readNoise(noise, latentShape(config, labels.length, blocks)),
    blocks,
    window: window === undefined ? undefined : wholeNumber('window', window),
    batch:
      batch === undefined
        ? defaultBatch(config, { throughput: npz !== undefined })
        : wholeNumber('batch', batch),
  };
  // The sampler would say the same, but only once the weights are read; and the solver how many steps it can take.
  planLength(config, request);
  for (const steps of [request.steps].flat()) createSolver(request.solver, linearNoiseSchedule(), steps);
  const written = await outputs(config, values, terminal);
  if (deviceName(values) === 'cpu')
    requireSamplingMemory(config, batchMemory(request, written.writesLatents));
  return {
    request,
    npz,
    clips: clipSettings(config, values),
    continuation: continuationOf(values),
    ...written,
  };
}

/** Returns what determines a run's memory. */
function batchMemory({ labels, batch, steps, cfg, ...extent }: BatchedRequest, keepsLatents: boolean) {
  return {
    ...extent,
    batch: Math.min(batch, labels.length),
    steps: Math.max(...[steps].flat()),
    guided: [cfg].flat().some((scale) => scale !== 1),
    kept: keepsLatents ? labels.length : undefined,
  };
}

/** What samples of latents can be without an autoencoder. */
const WITHOUT_AUTOENCODER = ', or use --latents F.npy --no-decode';

/** Flags that have no part in an npz file of samples. */
const NOT_WITH_NPZ = ['out', 'continue', 'keep', 'format', 'fps', 'noise', 'latents', 'no-decode'] as const;

function npzSettings(
  config: AcditConfig,
  values: SampleValues,
  seed: number,
): (NpzSettings & ManyLabels) | undefined {
  if (values.npz === undefined) return undefined;
  const stray = NOT_WITH_NPZ.find((flag) => values[flag] !== undefined && values[flag] !== false);
  if (stray) throw new ArgumentError(`--${stray} has no part in an --npz file; leave it out`);
  return { path: outputFile('npz', values.npz, '.npz'), ...manyLabels(config, values, seed) };
}

function clipSettings(config: AcditConfig, { format, fps }: SampleValues): ClipSettings | undefined {
  if (config.frames === 1) {
    const stray = format !== undefined ? '--format' : fps !== undefined ? '--fps' : undefined;
    if (stray) throw new ArgumentError(`${stray} is for clips, but this model makes pictures; leave it out`);
    return undefined;
  }
  const rate = fps === undefined ? DEFAULT_FPS : Number(fps);
  if (!(rate > 0) || !Number.isFinite(rate)) {
    throw new ArgumentError(`--fps must be a number above 0, got '${fps}'`);
  }
  return { format: choice('format', format ?? 'mp4', VIDEO_FORMATS), fps: rate };
}

function continuationOf({ continue: path, keep }: SampleValues): SampleSettings['continuation'] {
  if (path !== undefined) return { path, keep: keep === undefined ? undefined : wholeNumber('keep', keep) };
  if (keep === undefined) return undefined;
  throw new ArgumentError('--keep says how much of --continue is kept; give both, or leave it out');
}

function requirePrecision(precision = 'fp32'): void {
  if (choice('precision', precision, ['fp32', 'int8']) === 'int8') {
    throw new ArgumentError('--precision int8 is not available yet; use fp32');
  }
}

function chooseLabels(
  config: AcditConfig,
  values: SampleValues,
  blocks: number,
): { labels: Label[]; notes: readonly string[] } {
  const { labels, count } = values;
  const perClass = values['per-class'];
  if (count !== undefined && perClass !== undefined) {
    throw new ArgumentError('--count and --per-class exclude each other; give one of them');
  }
  const { labels: distinct, notes } =
    labels === undefined ? { labels: defaultLabels(config), notes: [] } : parseLabels(config, labels, blocks);
  const fallback = labels === undefined && config.space === 'pixels' ? DEFAULT_PER_CLASS : 1;
  const repeated = repeatLabels(
    distinct,
    perClass === undefined ? fallback : wholeNumber('per-class', perClass, 1, mostPerClass(distinct.length)),
    count === undefined ? undefined : wholeNumber('count', count, 1, MOST_SAMPLES),
  );
  return { labels: repeated, notes };
}

async function readNoise(path: string, expected: readonly number[]): Promise<Tensor<'float32'>> {
  const bytes = await readFile(path).catch((cause: NodeJS.ErrnoException) => {
    throw new ArgumentError(`--noise ${path} cannot be read (${cause.code}); give a .npy file`, { cause });
  });
  const noise = toFloat32(parseNpy(bytes, path));
  if (noise.shape.join() !== expected.join()) {
    throw new ArgumentError(
      `--noise ${path} must have shape [${expected}] (samples, blocks, tokens, token size), got [${noise.shape}]`,
    );
  }
  requireFinite(noise, `--noise ${path}`);
  return noise;
}

async function outputs(
  config: AcditConfig,
  values: SampleValues,
  terminal: Terminal,
): Promise<Pick<SampleSettings, 'folder' | 'decode' | 'vae' | 'writesLatents' | 'latentsFile'>> {
  const { out: folder = 'samples' } = values;
  const latents = values.latents === undefined ? undefined : outputFile('latents', values.latents, '.npy');
  await requireFreeFiles([latents], values.overwrite);
  const ofLatents = config.space === 'latents';
  if (values.vae !== undefined && !ofLatents) {
    throw new ArgumentError('--vae decodes latents, but this model makes pixels; leave it out');
  }
  // Whoever asks for latents and names no autoencoder wants no pictures.
  const decode = !(values['no-decode'] || (ofLatents && latents !== undefined && values.vae === undefined));
  const needsAutoencoder = ofLatents && (decode || values.continue !== undefined);
  return {
    folder,
    decode,
    vae: needsAutoencoder
      ? await vaePath(config, values.vae, terminal, values.json === true, WITHOUT_AUTOENCODER)
      : undefined,
    writesLatents: latents !== undefined || !decode,
    latentsFile: latents,
  };
}
