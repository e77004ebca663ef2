/** @file Writing official checkpoints, which the released code loads: `model` next to the trainer's `args`. */

import { isDeepStrictEqual } from 'node:util';
import { CheckpointError } from '../errors.ts';
import type { Metadata } from '../formats/tensor-archive.ts';
import { type TorchInput, writeTorchCheckpoint } from '../formats/torch/writer.ts';
import { describeAttention } from '../models/acdit/attention.ts';
import {
  ACDIT_SIZES,
  type AcditConfig,
  diffusionSettings,
  headSize,
  PAPER_DOWNSAMPLING,
} from '../models/acdit/config.ts';
import { HEAD_SIZE, parameters } from '../models/acdit/weights.ts';
import { type AdamWState, adamWStateDict, officialOrder } from './adamw-state.ts';
import { CONFIG_ARGUMENT, RUN_ARGUMENT } from './official.ts';
import { officialConfig } from './official-config.ts';
import type { StoredWeights } from './save.ts';

/** Values of the official arguments, which are plain. */
type Arguments = ReadonlyMap<string, string | number | boolean | null>;

/**
 * Write an official checkpoint, atomically and one tensor at a time.
 * @throws {CheckpointError} if the format cannot represent the model: its images are not square.
 */
export async function saveOfficial(
  path: string,
  config: AcditConfig,
  weights: StoredWeights,
  signal?: AbortSignal,
): Promise<void> {
  const checkpoint: TorchInput = new Map<string, TorchInput>([
    ['model', { kind: 'ordered-dict', entries: weights }],
    ['args', { kind: 'namespace', entries: officialArguments(config) }],
  ]);
  await writeTorchCheckpoint(path, checkpoint, signal);
}

/** A training as official checkpoints hold it. */
export interface OfficialTrainingState {
  readonly weights: StoredWeights;
  readonly ema: StoredWeights;
  readonly optimizer: AdamWState;
  /** Learning rate that schedules of PyTorch begin with. */
  readonly peak: number;
  /** What acdit records of the run, for the way back. */
  readonly run: Metadata;
}

/**
 * Writes a training as the official trainer does: {@link saveOfficial} with the moving average `ema`, and the state of AdamW
 * `opt`, whose parameters are numbered in the order of the model's; and `step`, the steps taken.
 */
export async function saveOfficialTraining(
  path: string,
  config: AcditConfig,
  { weights, ema, optimizer, peak, run }: OfficialTrainingState,
  signal?: AbortSignal,
): Promise<void> {
  const args = new Map([...officialArguments(config), [RUN_ARGUMENT, JSON.stringify(run)]]);
  const names = officialOrder([...parameters(config).keys()]);
  const ordered = (tensors: StoredWeights) => new Map(names.map((name) => [name, tensors.get(name)!]));
  const checkpoint: TorchInput = new Map<string, TorchInput>([
    ['model', { kind: 'ordered-dict', entries: ordered(weights) }],
    ['ema', { kind: 'ordered-dict', entries: ordered(ema) }],
    ['opt', adamWStateDict(optimizer, names, peak)],
    ['args', { kind: 'namespace', entries: args }],
    ['step', optimizer.step],
  ]);
  await writeTorchCheckpoint(path, checkpoint, signal);
}

/** What positions are split into unless `nd_split` says otherwise. */
function defaultSplit({ frames }: AcditConfig): readonly number[] {
  return frames > 1 ? [2, 3, 3] : [1, 1];
}

/**
 * The arguments that the official scripts read. Where they cannot say all of the configuration, such as names of classes,
 * it is added as a whole, as one more argument that is ours.
 * @throws {CheckpointError} for images that are not square, and for predictions and attention that the official code does
 * not know.
 */
export function officialArguments(config: AcditConfig): Arguments {
  const { height, width, downsampling = PAPER_DOWNSAMPLING, positionSplit } = config;
  if (height !== width) {
    throw new CheckpointError(
      `official checkpoints hold models of square images only, and this one makes ${height} x ${width}; only a folder of acdit can hold it`,
    );
  }
  requireOfficialMethod(config);
  const pixels = config.space === 'pixels' ? 1 : downsampling;
  const args: Arguments = new Map<string, string | number | boolean | null>([
    ['model', officialName(config)],
    ['vae_latent_size', config.channels],
    ['patch_size', config.patch],
    ['block_size', config.blockSize],
    ['ar_len', config.blocks],
    ['num_frames', config.frames],
    ['image_size', height * pixels],
    ['vae_patch_pixels', pixels],
    ['nd_split', positionSplit.join() === defaultSplit(config).join() ? null : positionSplit.join('_')],
    ['square_block', config.squareBlocks],
    ['num_classes', config.classes],
    ['dataset', config.squareBlocks ? 'ImageNet' : 'UCF101'], // the trainer makes square blocks of the former
  ]);
  return saysAll(args, config) ? args : new Map([...args, [CONFIG_ARGUMENT, JSON.stringify(config)]]);
}

/** Whether the configuration can be read back from the arguments and the parameters' shapes. */
function saysAll(args: Arguments, config: AcditConfig): boolean {
  const shapes = parameters(config);
  const archive = {
    names: [...shapes.keys()],
    has: (name: string) => shapes.has(name),
    info: (name: string) => ({ dtype: 'float32', shape: shapes.get(name)! }) as const,
  };
  return isDeepStrictEqual(officialConfig(args, archive, 'args'), config);
}

/** The size's name in the released code, or one of the same kind. */
function officialName({ layers, hidden, heads }: AcditConfig): string {
  return `ACDiT-${sizeName({ layers, hidden, heads }) ?? `${layers}x${hidden}`}`;
}

function sizeName(size: Pick<AcditConfig, 'layers' | 'hidden' | 'heads'>): string | undefined {
  return Object.entries(ACDIT_SIZES).find(([, known]) => isDeepStrictEqual(known, size))?.[0];
}

/** Numbers of classes that the official scripts write into the model, even if the checkpoint has others. */
const SCRIPT_CLASSES = { image: 1000, video: 101 };

/** What the official code takes for granted and is not so in this model, with what to change there. */
export function officialLimits(config: AcditConfig): string[] {
  const { layers, hidden, heads, classes, frames, space, squareBlocks, positionSplit } = config;
  const kind = frames > 1 ? 'video' : 'image';
  const limits: string[] = [];
  const size = { layers, hidden, heads };
  if (sizeName(size) === undefined || config.mlpRatio !== 4) {
    limits.push(
      `add its size to ACDiT_models, as '${officialName(config)}' with depth=${layers}, hidden_size=${hidden}, num_heads=${heads}, mlp_ratio=${config.mlpRatio}`,
    );
  }
  if (headSize(config) !== HEAD_SIZE) {
    limits.push(
      `let ACDiT make its RopeND for heads of ${headSize(config)} dimensions instead of ${HEAD_SIZE}`,
    );
  }
  if (classes !== SCRIPT_CLASSES[kind]) {
    limits.push(`put num_classes=${classes} into the sampling script, instead of ${SCRIPT_CLASSES[kind]}`);
  }
  if (squareBlocks !== (kind === 'image')) {
    limits.push(`put square_block=${squareBlocks ? 'True' : 'False'} into the sampling script`);
  }
  if (positionSplit.length !== defaultSplit(config).length) {
    limits.push('give images a time axis among their positions, as the model has');
  }
  if (space === 'pixels') limits.push('leave out the decoding: the model makes pixels in [-1, 1]');
  else if (config.downsampling !== undefined && kind === 'image') {
    limits.push(
      `divide image_size by ${config.downsampling} in sample_img.py, instead of ${PAPER_DOWNSAMPLING}`,
    );
  }
  return limits;
}

/**
 * The official code predicts noise along the linear schedule, its context is clean, heads rotate by each axis, and its mask
 * is the paper's.
 */
function requireOfficialMethod(config: AcditConfig): void {
  const settings = (of: Partial<AcditConfig>): Record<string, unknown> => ({
    ...diffusionSettings(of),
    positions: of.positions ?? 'nd',
    attention: describeAttention(of.attention),
  });
  const official = settings({});
  for (const [key, value] of Object.entries(settings(config))) {
    if (value === official[key]) continue;
    throw new CheckpointError(
      `official checkpoints cannot express this model's ${key} (${value}); only a folder of acdit can hold it`,
    );
  }
}
