/** @file The flags of `acdit sample`, checked against the model before its weights are read. */

import { readFile } from 'node:fs/promises';
import { solverNames } from '../diffusion/solvers/index.ts';
import { ArgumentError } from '../errors.ts';
import { parseNpy } from '../formats/npy.ts';
import { VIDEO_FORMATS } from '../media/video-writer.ts';
import { type AcditConfig, defaultGuidance } from '../models/acdit/config.ts';
import { type BatchedRequest, batchRequests, defaultBatch, latentShape } from '../runs/batches.ts';
import type { Continuation } from '../runs/continuation.ts';
import { defaultLabels, type Label, parseLabels, repeatLabels } from '../runs/labels.ts';
import { requireSamplingMemory } from '../runs/memory-check.ts';
import { type ClipSettings, DEFAULT_FPS } from '../runs/video-files.ts';
import { DEFAULT_SEED, DEFAULT_STEPS, planSampling, type SamplePlan } from '../sampling/request.ts';
import { toFloat32 } from '../tensor/convert.ts';
import { requireFinite } from '../tensor/finite.ts';
import type { Tensor } from '../tensor/tensor.ts';
import { checkpointFlags } from './checkpoint-flags.ts';
import type { CommandContext } from './command.ts';
import { deviceFlags, deviceName } from './device.ts';
import type { Flags, FlagValues } from './flags.ts';
import {
  type LabelOrder,
  type ManyLabels,
  MOST_SAMPLES,
  manyLabels,
  requirePerClass,
} from './many-labels.ts';
import { overwriteFlags, requireFreeFiles } from './overwrite.ts';
import { vaePath } from './vae-path.ts';
import { choice, outputFile, perBlock, realNumber, wholeNumber } from './values.ts';

export const sampleFlags = {
  labels: {
    value: 'LIST',
    help: 'classes by name or number: cat,7,"a, b"; one per block: 3/3/7/7 (default: all of a small model)',
  },
  'per-class': {
    value: 'N',
    parse: wholeNumber(),
    help: 'samples of each label (default: 1, 8 without --labels)',
  },
  count: {
    value: 'N',
    parse: wholeNumber(1, MOST_SAMPLES),
    help: 'samples in all, divided among the labels; with --npz, of labels drawn at random',
  },
  steps: {
    value: 'N',
    parse: perBlock(wholeNumber()),
    default: String(DEFAULT_STEPS),
    help: 'solver steps per block; for each block its own: 25/10/10/10',
    aliases: ['sample_step'],
  },
  cfg: {
    value: 'X',
    parse: perBlock(realNumber('of at least 0', (value) => value >= 0)),
    help: "guidance scale; for each block its own: 1.5/2/2/2 (default: the model's own, else 1.5, video 2.5)",
  },
  seed: {
    value: 'N',
    parse: wholeNumber(0),
    default: String(DEFAULT_SEED),
    help: 'random seed of the noise',
    aliases: ['global_seed'],
  },
  solver: {
    value: 'NAME',
    parse: choice(solverNames),
    default: solverNames[0],
    help: `solver: ${solverNames.join(', ')}`,
  },
  out: {
    value: 'DIR',
    default: 'samples',
    help: 'folder of the images or videos',
    aliases: ['save_dir'],
  },
  continue: {
    value: 'PATH',
    help: 'continue the first blocks of an image, a video, or a folder of frames',
  },
  keep: { value: 'K', parse: wholeNumber(), help: 'blocks that --continue keeps (default: all but one)' },
  blocks: {
    value: 'N',
    parse: wholeNumber(),
    help: "blocks of a video; more than it was trained for slide a window (default: the model's own)",
  },
  window: {
    value: 'N',
    parse: wholeNumber(),
    help: 'finished blocks that each block attends to (default: all that were trained)',
  },
  format: {
    value: 'NAME',
    parse: choice(VIDEO_FORMATS),
    help: `video format: ${VIDEO_FORMATS.join(', ')}; png is a folder of frames (default: mp4)`,
  },
  fps: {
    value: 'X',
    parse: realNumber('above 0', (value) => value > 0),
    help: `frames per second of videos (default: ${DEFAULT_FPS})`,
  },
  noise: { value: 'F.npy', help: 'starting noise (N, T, B, C), instead of the seed' },
  latents: { value: 'F.npy', parse: outputFile('.npy'), help: 'write the final latents (N, T, B, C)' },
  'no-decode': { help: 'write latents only, by default to latents.npy in --out' },
  vae: {
    value: 'DIR',
    help: 'autoencoder of a model of latents: a diffusers folder, or a name on the Hugging Face Hub',
    aliases: ['vae_path'],
  },
  batch: {
    value: 'N',
    parse: wholeNumber(),
    help: 'batch size (default: 16, 32 with --npz, fewer if the cache would exceed 1 GB)',
  },
  npz: {
    value: 'F.npz',
    parse: outputFile('.npz'),
    help: 'write one file to evaluate: arr_0 uint8 (N, H, W, 3), arr_1 labels; resumes if interrupted',
  },
  video: { help: 'without MODEL: the bundled video model' },
  ckpt: { value: 'FILE', help: 'the model, as the official scripts name it' },
  ...checkpointFlags,
  precision: {
    value: 'NAME',
    parse: choice(['fp32', 'int8']),
    default: 'fp32',
    help: 'fp32; int8 is not available yet',
  },
  ...overwriteFlags,
  ...deviceFlags,
  json: { help: 'print what was made as JSON, without a progress bar' },
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
  given: ReadonlySet<string>,
  context: CommandContext,
): Promise<SampleSettings> {
  requirePrecision(values.precision);
  const {
    blocks = config.blocks,
    cfg = defaultGuidance(config),
    steps,
    solver,
    seed,
    window,
    noise,
  } = values;
  const npz = npzSettings(config, values, given);
  const { labels, notes } = npz ?? chooseLabels(config, values, blocks);
  for (const note of notes) context.report.note(note);
  const request = {
    labels,
    steps,
    cfg,
    solver,
    seed,
    noise:
      noise === undefined ? undefined : await readNoise(noise, latentShape(config, labels.length, blocks)),
    blocks,
    window,
    batch: values.batch ?? defaultBatch(config, { throughput: npz !== undefined }),
  };
  const plan = planFirstBatch(config, request, context.signal);
  const written = await outputs(config, values, context);
  if (deviceName(values) === 'cpu') {
    requireSamplingMemory(config, batchMemory(plan, written.writesLatents ? labels.length : undefined));
  }
  return {
    request,
    npz,
    clips: clipSettings(config, values),
    continuation: continuationOf(values),
    ...written,
  };
}

/** Checks a request as the sampler will, before the weights are read. @throws {ArgumentError} naming the flag */
function planFirstBatch(config: AcditConfig, request: BatchedRequest, signal: AbortSignal): SamplePlan {
  const [batch] = batchRequests(request, signal);
  try {
    return planSampling(config, batch);
  } catch (error) {
    if (!(error instanceof ArgumentError) || !error.field) throw error;
    throw new ArgumentError(`--${error.field} ${error.problem}`, { cause: error });
  }
}

/** Returns what determines a run's memory. @param kept samples whose latents are kept until the end */
function batchMemory({ labels, steps, cfg, blocks, window }: SamplePlan, kept: number | undefined) {
  return {
    blocks,
    window,
    batch: labels.length,
    steps: Math.max(...steps),
    guided: cfg.some((scale) => scale !== 1),
    kept,
  };
}

/** What samples of latents can be without an autoencoder. */
const WITHOUT_AUTOENCODER = ', or use --latents F.npy --no-decode';

/** Flags that have no part in an npz file of samples. */
const NOT_WITH_NPZ = ['out', 'continue', 'keep', 'format', 'fps', 'noise', 'latents', 'no-decode'] as const;

function npzSettings(
  config: AcditConfig,
  values: SampleValues,
  given: ReadonlySet<string>,
): (NpzSettings & ManyLabels) | undefined {
  if (values.npz === undefined) return undefined;
  const stray = NOT_WITH_NPZ.find((flag) => given.has(flag));
  if (stray) throw new ArgumentError(`--${stray} has no part in an --npz file; leave it out`);
  return { path: values.npz, ...manyLabels(config, values) };
}

function clipSettings(config: AcditConfig, { format, fps }: SampleValues): ClipSettings | undefined {
  if (config.frames === 1) {
    const stray = format !== undefined ? '--format' : fps !== undefined ? '--fps' : undefined;
    if (stray) throw new ArgumentError(`${stray} is for clips, but this model makes pictures; leave it out`);
    return undefined;
  }
  return { format: format ?? 'mp4', fps: fps ?? DEFAULT_FPS };
}

function continuationOf({ continue: path, keep }: SampleValues): SampleSettings['continuation'] {
  if (path !== undefined) return { path, keep };
  if (keep === undefined) return undefined;
  throw new ArgumentError('--keep says how much of --continue is kept; give both, or leave it out');
}

function requirePrecision(precision: SampleValues['precision']): void {
  if (precision === 'int8') {
    throw new ArgumentError('--precision int8 is not available yet; use fp32');
  }
}

function chooseLabels(
  config: AcditConfig,
  values: SampleValues,
  blocks: number,
): { labels: Label[]; notes: readonly string[] } {
  const { labels, count, 'per-class': perClass } = values;
  if (count !== undefined && perClass !== undefined) {
    throw new ArgumentError('--count and --per-class exclude each other; give one of them');
  }
  const { labels: distinct, notes } =
    labels === undefined ? { labels: defaultLabels(config), notes: [] } : parseLabels(config, labels, blocks);
  const fallback = labels === undefined && config.space === 'pixels' ? DEFAULT_PER_CLASS : 1;
  requirePerClass(perClass, distinct.length);
  return { labels: repeatLabels(distinct, perClass ?? fallback, count), notes };
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
  context: CommandContext,
): Promise<Pick<SampleSettings, 'folder' | 'decode' | 'vae' | 'writesLatents' | 'latentsFile'>> {
  const { out: folder, latents } = values;
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
    vae: needsAutoencoder ? await vaePath(config, values.vae, context, WITHOUT_AUTOENCODER) : undefined,
    writesLatents: latents !== undefined || !decode,
    latentsFile: latents,
  };
}
