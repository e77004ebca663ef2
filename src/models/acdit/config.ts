/** @file What an ACDiT is: its size, what it generates, and how that is cut into tokens and blocks. */

import {
  type Guidance,
  type GuidanceProblem,
  guidanceProblem,
  intervalTimesteps,
  scalesOfBlocks,
} from '../../diffusion/guidance.ts';
import {
  createNoiseSchedule,
  type NoiseSchedule,
  type NoiseScheduleName,
  TRAIN_STEPS,
} from '../../diffusion/noise-schedule.ts';
import type { Prediction } from '../../diffusion/prediction.ts';
import { ConfigError } from '../../errors.ts';
import { printable, printableList } from '../../io/printable.ts';
import { type AttentionSetting, attentionOf, attentionProblem } from './attention.ts';

/** The configuration as `config.json` holds it. */
export interface AcditConfig {
  readonly modelType: 'acdit';
  /** Transformer layers. */
  readonly layers: number;
  /** Hidden size, a multiple of `heads`. */
  readonly hidden: number;
  readonly heads: number;
  /** Hidden size of the feed-forward network, over `hidden`. */
  readonly mlpRatio: number;
  /** Classes; the label `classes` itself stands for "no class". */
  readonly classes: number;
  readonly classNames?: readonly string[];
  /** What tokens are cut from: pixels in [-1, 1], or the scaled latents of an autoencoder. */
  readonly space: 'pixels' | 'latents';
  readonly channels: number;
  /** 1 for images. */
  readonly frames: number;
  /** Pixels along the side of the square that one latent stands for; that of the paper's autoencoder by default. */
  readonly downsampling?: number;
  /** Height and width of the image or its latents, before patching. */
  readonly height: number;
  readonly width: number;
  /** Side of the square patch that makes one token. */
  readonly patch: number;
  /** Tokens per block. */
  readonly blockSize: number;
  /** Blocks in the sequence: the autoregressive length. */
  readonly blocks: number;
  /** Blocks are squares of the token grid (images) rather than runs of tokens in row-major order (videos). */
  readonly squareBlocks: boolean;
  /** Which autoencoder's latents the model makes, where it is known. */
  readonly autoencoder?: LatentOrigin;
  /** Guidance to sample with unless another is asked for; a number is the scale at all noise levels. */
  readonly guidance?: number | Guidance;
  /** What samples are made with unless something else is asked for (default: exact). */
  readonly preset?: Preset;
  /** Shares of the head dimension that rotate by each axis: [height, width] or [time, height, width]. */
  readonly positionSplit: readonly number[];
  /** How queries and keys know their places (default: nd, the paper's); see {@link POSITION_KINDS}. */
  readonly positions?: PositionKind;
  /** What the network predicts of a noised block (default: epsilon, the paper's). */
  readonly prediction?: Prediction;
  /** Path from sample to noise (default: flow for the prediction `flow`, else linear, the paper's). */
  readonly noiseSchedule?: NoiseScheduleName;
  /** Factor of the schedule's noise-to-signal ratio (default: 1). */
  readonly noiseShift?: number;
  /** Timestep to which finished blocks are noised before others attend them (default: 0, not noised). */
  readonly contextNoise?: number;
  /** Which blocks attend which (default: skip-causal, the paper's). */
  readonly attention?: AttentionSetting;
}

/**
 * How queries and keys know their places. `nd`: a part of each head rotates by each axis of the image or video. `1d`: heads
 * rotate by the token's place in the sequence. `none`: they do not know them.
 */
export const POSITION_KINDS = ['nd', '1d', 'none'] as const;
/** One of {@link POSITION_KINDS}. */
export type PositionKind = (typeof POSITION_KINDS)[number];

/**
 * Sets of defaults for sampling. `exact`: 25 steps of the official solver at its own timesteps. `fast`: the steps, timesteps
 * and guidance of a solver that was fitted to the model.
 */
export const PRESETS = ['exact', 'fast'] as const;
/** One of {@link PRESETS}. */
export type Preset = (typeof PRESETS)[number];

/** Identifies an autoencoder. */
export interface LatentOrigin {
  /** Hash of its weights; see `autoencoderFingerprint`. */
  readonly fingerprint: string;
  /** A model's latents are the autoencoder's times this. */
  readonly scalingFactor: number;
}

/** Checks whether latents of both autoencoders are the same numbers for the same image. */
export function sameOrigin(a: LatentOrigin | undefined, b: LatentOrigin | undefined): boolean {
  return a?.fingerprint === b?.fingerprint && a?.scalingFactor === b?.scalingFactor;
}

/** Returns a few words such as `3fa1b2c4 with scaling factor 0.18215`, or `none` for pixels. */
export function describeOrigin(origin: LatentOrigin | undefined): string {
  return origin ? `${origin.fingerprint} with scaling factor ${origin.scalingFactor}` : 'none';
}

/** What the letter in a model's name stands for. */
export type AcditSize = Pick<AcditConfig, 'layers' | 'hidden' | 'heads'>;

/** The paper's sizes (its table 1). */
export const ACDIT_SIZES: Readonly<Record<'B' | 'L' | 'XL' | 'H', AcditSize>> = {
  B: { layers: 12, hidden: 768, heads: 12 },
  L: { layers: 24, hidden: 1024, heads: 16 },
  XL: { layers: 28, hidden: 1152, heads: 18 },
  H: { layers: 32, hidden: 1280, heads: 20 },
};

export type SizeName = keyof typeof ACDIT_SIZES;
export const SIZE_NAMES = Object.keys(ACDIT_SIZES) as SizeName[];

/** The models of the paper: ImageNet at 256 pixels and UCF-101 with 16 frames, in latents of 32 x 32. */
export function paperConfig(size: SizeName, kind: 'image' | 'video'): AcditConfig {
  const isImage = kind === 'image';
  return {
    modelType: 'acdit',
    ...ACDIT_SIZES[size],
    mlpRatio: 4,
    space: 'latents',
    channels: 4,
    height: 32,
    width: 32,
    blocks: 4,
    classes: isImage ? 1000 : 101,
    frames: isImage ? 1 : 16,
    patch: isImage ? 1 : 2,
    blockSize: isImage ? 256 : 1024,
    squareBlocks: isImage,
    positionSplit: isImage ? [1, 1] : [2, 3, 3],
  };
}

/** Downsampling factor of Stable Diffusion's autoencoder, which the paper's models use. */
export const PAPER_DOWNSAMPLING = 8;

/** The guidance that suits a model: its own, or else the paper's, 1.5 for images and 2.5 for videos (section 4). */
export function defaultGuidance({ guidance, frames }: AcditConfig): Guidance {
  const own = guidance ?? (frames > 1 ? 2.5 : 1.5);
  return typeof own === 'number' ? { scale: own } : own;
}

/** What the model's diffusion is, with defaults. */
export type DiffusionSettings = Required<
  Pick<AcditConfig, 'prediction' | 'noiseSchedule' | 'noiseShift' | 'contextNoise'>
>;

/** Returns what a model predicts and along which path, with the defaults of what its configuration leaves out. */
export function diffusionSettings(config: Partial<DiffusionSettings>): DiffusionSettings {
  const { prediction = 'epsilon', noiseShift = 1, contextNoise = 0 } = config;
  const { noiseSchedule = prediction === 'flow' ? 'flow' : 'linear' } = config;
  return { prediction, noiseSchedule, noiseShift, contextNoise };
}

/** Returns the noise schedule that a model was trained with. */
export function noiseScheduleOf(config: Partial<DiffusionSettings>): NoiseSchedule {
  const { noiseSchedule, noiseShift } = diffusionSettings(config);
  return createNoiseSchedule(noiseSchedule, noiseShift);
}

/** Size of one token: the values of a patch. */
export function tokenSize(config: AcditConfig): number {
  return config.channels * config.patch ** 2;
}

/** Returns the size in pixels of an image, or of a frame of a video, once latents are decoded. */
export function imageSize({ space, downsampling = PAPER_DOWNSAMPLING, width, height }: AcditConfig) {
  const factor = space === 'latents' ? downsampling : 1;
  return { width: width * factor, height: height * factor };
}

/** Tokens of an image, or of a frame of a clip. */
export function tokensPerFrame({ height, width, patch }: AcditConfig): number {
  return (height * width) / patch ** 2;
}

/** Frames that `blocks` blocks make, which may end within one; 1 for a whole image. */
export function frameCount(config: AcditConfig, blocks: number): number {
  return (blocks * config.blockSize) / tokensPerFrame(config);
}

/**
 * Returns the configuration of a pass through the network in sampling. Its blocks are what is denoised at once: for attention
 * `full` the whole sample, whose tokens stay in the order of the model's blocks.
 */
export function passConfig(config: AcditConfig): AcditConfig {
  const { blocks, blockSize } = config;
  if (!attentionOf(config).together) return config;
  return { ...config, blocks: 1, blockSize: blocks * blockSize, squareBlocks: false };
}

/** Checks whether a model's videos may have more blocks than its own. */
export function canExtend(config: AcditConfig): boolean {
  return config.frames > 1 && config.blocks > 1 && !attentionOf(config).fixed;
}

/** Tokens of a whole image or clip. */
export function tokenCount(config: AcditConfig): number {
  return config.blocks * config.blockSize;
}

export function headSize(config: AcditConfig): number {
  return config.hidden / config.heads;
}

/** Tokens along each position axis: [height, width], with the frames first if positions have a time axis. */
export function gridLengths(config: AcditConfig): number[] {
  const grid = [config.height / config.patch, config.width / config.patch];
  return config.positionSplit.length === 3 ? [config.frames, ...grid] : grid;
}

/** More than attention can be computed for; a configuration with more is damaged or malicious. */
const MAX_TOKENS = 2 ** 20;
/** Max layers: several times as many as any transformer has. */
const MAX_LAYERS = 1000;

/**
 * Check a configuration as a whole.
 * @throws {ConfigError} naming the first field that does not fit.
 */
export function validateConfig(config: AcditConfig): AcditConfig {
  validateSize(config);
  validateTokens(config);
  validateDiffusion(diffusionSettings(config));
  validateAttention(config);
  validateGuidance(config);
  const { downsampling, classNames: names } = config;
  if (downsampling !== undefined && !(Number.isSafeInteger(downsampling) && downsampling >= 1)) {
    fail(`downsampling must be a whole number above 0, got ${downsampling}`);
  }
  if (names && names.length !== config.classes)
    fail(`classNames has ${names.length} names for ${config.classes} classes`);
  return config;
}

function fail(problem: string): never {
  throw new ConfigError(`model configuration: ${problem}`);
}

/** Fields that are counts, in the order in which they are checked. */
const COUNTS = [
  ...(['layers', 'hidden', 'heads', 'classes', 'channels', 'frames'] as const),
  ...(['height', 'width', 'patch', 'blockSize', 'blocks'] as const),
];

function validateSize(config: AcditConfig): void {
  for (const field of COUNTS) {
    const value = config[field];
    if (!Number.isSafeInteger(value) || value < 1)
      fail(`${field} must be a whole number above 0, got ${value}`);
  }
  const { layers, hidden, heads, mlpRatio } = config;
  if (layers > MAX_LAYERS) fail(`${layers} layers are more than the ${MAX_LAYERS} that are supported`);
  if (!(mlpRatio > 0) || !Number.isInteger(mlpRatio * hidden)) {
    fail(`mlpRatio times hidden must be a whole number above 0, got ${mlpRatio} times ${hidden}`);
  }
  if (hidden % heads !== 0) fail(`hidden (${hidden}) must be a multiple of heads (${heads})`);
  if ((hidden / heads) % 2 !== 0) {
    fail(
      `a head must have an even number of dimensions, got ${hidden / heads} (hidden ${hidden} in ${heads} heads)`,
    );
  }
}

function validateTokens(config: AcditConfig): void {
  const { height, width, patch, frames, blocks, blockSize, positionSplit } = config;
  if (height % patch !== 0 || width % patch !== 0) {
    fail(`height and width (${height}x${width}) must be multiples of patch (${patch})`);
  }
  const tokens = (frames * height * width) / patch ** 2;
  if (tokens > MAX_TOKENS) fail(`${tokens} tokens are more than the ${MAX_TOKENS} that are supported`);
  if (tokens !== blocks * blockSize) {
    fail(`blocks x blockSize must be the ${tokens} tokens there are, got ${blocks} x ${blockSize}`);
  }
  if (positionSplit.length !== 3 && !(positionSplit.length === 2 && frames === 1)) {
    fail(
      `positionSplit needs 2 entries (height, width) or 3 (time, height, width), got [${printableList(positionSplit)}] for ${frames} frames`,
    );
  }
  rotaryDims(config);
  if (!config.squareBlocks) return;
  const side = Math.sqrt(blockSize);
  const fits =
    frames === 1 && Number.isInteger(side) && (height / patch) % side === 0 && (width / patch) % side === 0;
  if (!fits)
    fail(
      `square blocks of ${blockSize} tokens do not tile ${frames} x ${height / patch} x ${width / patch} tokens`,
    );
}

function validateGuidance(config: AcditConfig): void {
  const found = ownGuidanceProblem(config, defaultGuidance(config));
  if (!found) return;
  fail(`guidance${typeof config.guidance === 'object' ? `.${found.part}` : ''} ${found.problem}`);
}

/** Returns the first part that is not valid for guidance of a model's own, or of its tuned solver. */
export function ownGuidanceProblem(config: AcditConfig, guidance: Guidance): GuidanceProblem | undefined {
  const found = guidanceProblem(guidance);
  if (found) return found;
  const { scale, interval } = guidance;
  if (typeof scale !== 'number' && scale.length !== config.blocks) {
    const problem = `must be one number, or one for each of ${config.blocks} blocks, got ${scale.length}`;
    return { part: 'scale', problem };
  }
  if (interval && !intervalTimesteps(noiseScheduleOf(config), interval)) {
    const problem = `must contain the log signal-to-noise ratio of some timestep, got ${interval.join(', ')}`;
    return { part: 'interval', problem };
  }
  if (attentionOf(config).together) {
    const differ = new Set(scalesOfBlocks(guidance, config.blocks, config.blocks)).size > 1;
    const part = typeof scale === 'number' ? 'schedule' : 'scale';
    const problem = 'must be the same for all blocks, since attention full denoises them together';
    if (differ) return { part, problem };
  }
  return undefined;
}

function validateAttention(config: AcditConfig): void {
  const { attention, blocks, contextNoise = 0 } = config;
  const problem = attention !== undefined && attentionProblem(attention, blocks);
  if (problem) fail(`attention ${problem}`);
  const noiseProblem = contextNoiseProblem(config, contextNoise);
  if (noiseProblem) fail(`contextNoise ${noiseProblem}`);
}

/** Returns what is wrong with a timestep up to which finished blocks of a model are noised; undefined if nothing is. */
export function contextNoiseProblem(config: AcditConfig, timestep: number): string | undefined {
  if (!(Number.isInteger(timestep) && timestep >= 0 && timestep < TRAIN_STEPS)) {
    return `must be a timestep from 0 to ${TRAIN_STEPS - 1}, got ${printable(timestep)}`;
  }
  if (timestep === 0 || !attentionOf(config).together) return undefined;
  return `must be 0 for attention full, where no block is finished before others, got ${timestep}`;
}

/** Factors of the noise-to-signal ratio that leave both signal and noise in float32, at all timesteps. */
const [MIN_SHIFT, MAX_SHIFT] = [0.1, 100];

function validateDiffusion(settings: DiffusionSettings): void {
  const { prediction, noiseSchedule, noiseShift } = settings;
  if (prediction === 'flow' && noiseSchedule !== 'flow') {
    fail(`prediction flow needs the noise schedule flow, got ${noiseSchedule}`);
  }
  if (prediction === 'epsilon' && noiseSchedule === 'flow') {
    fail(
      'prediction epsilon cannot follow the noise schedule flow, which begins at noise alone; use flow, v or sample',
    );
  }
  if (!(noiseShift >= MIN_SHIFT && noiseShift <= MAX_SHIFT)) {
    fail(`noiseShift must be from ${MIN_SHIFT} to ${MAX_SHIFT}, got ${noiseShift}`);
  }
}

/**
 * Dimensions of a head that rotate by each axis: 2 split_i floor((D/2) / sum(split)), which must use up the
 * head (released code, `RopeND`).
 * @throws {ConfigError} if they do not.
 */
export function rotaryDims(config: AcditConfig): number[] {
  const { positionSplit } = config;
  const size = headSize(config);
  const sum = positionSplit.reduce((total, share) => total + share, 0);
  const dims = positionSplit.map((share) => 2 * share * Math.floor(size / 2 / sum));
  if (
    positionSplit.some((share) => !Number.isSafeInteger(share) || share < 1) ||
    dims.reduce((a, b) => a + b, 0) !== size
  ) {
    fail(
      `positionSplit [${positionSplit}] does not divide a head of ${size} dimensions; its sum must divide ${size / 2}`,
    );
  }
  return dims;
}
