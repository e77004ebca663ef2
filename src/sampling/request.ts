/** @file What a sampler can be asked for: the one check of a request, which spells it out block by block. */

import { at, take } from '../at.ts';
import type { NormalSource } from '../diffusion/solvers/index.ts';
import type { ArgumentError } from '../errors.ts';
import { printable } from '../io/printable.ts';
import { attentionOf, describeAttention } from '../models/acdit/attention.ts';
import {
  type AcditConfig,
  contextNoiseProblem,
  diffusionSettings,
  tokenSize,
} from '../models/acdit/config.ts';
import { joinAxis, sliceAxis } from '../tensor/axes.ts';
import { nonFinite } from '../tensor/finite.ts';
import { Generator } from '../tensor/generator.ts';
import { elementCount, float32, type Tensor } from '../tensor/tensor.ts';
import {
  invalid,
  type PerBlock,
  type PlannedSettings,
  perBlock,
  planSettings,
  type SettingsRequest,
} from './settings.ts';

/** What to sample, and how. */
export interface SampleRequest extends SettingsRequest {
  /** A class for each sample, or one for each of its blocks; `classes` itself stands for "no class". */
  readonly labels: readonly PerBlock[];
  /**
   * Seed of the starting noise and of what stochastic solvers draw (default: {@link DEFAULT_SEED}). Both depend on the
   * seed and the sample's number only, so a sample is the same in any batch.
   */
  readonly seed?: number;
  /** Number of the first sample, where a request is one batch of many; 0 by default. */
  readonly first?: number;
  /** Starting noise (N, T, B, C), instead of the seed's. */
  readonly noise?: Tensor<'float32'>;
  /** Finished blocks (N, K, B, C) to continue: the first K of each sample; (1, K, B, C) are those of all samples. */
  readonly given?: Tensor<'float32'>;
  /**
   * Blocks to end with, T; the model's own by default. A video may have more: each block then attends the last `window`
   * ones as if they were the first of a clip. Only models with a window of attention are trained for that.
   */
  readonly blocks?: number;
  /** How many finished blocks are attended at most; by default all that the model was trained with. */
  readonly window?: number;
  /**
   * Timestep up to which finished blocks are noised before others attend them, 0 to 999; 0 leaves them clean (default: as in
   * training). It must be 0 for models that denoise all blocks together.
   */
  readonly contextNoise?: number;
  readonly signal?: AbortSignal;
}

/**
 * Returns the warning for samples whose window slides, unless the model is trained for it: a window that slides in the middle
 * of a clip keeps sliding beyond its end. A window that holds the whole clip never slides in training.
 */
export function untrainedNote(
  { attention, blocks }: Pick<AcditConfig, 'attention' | 'blocks'>,
  { slides, window }: Pick<SamplePlan, 'slides' | 'window'>,
): string | undefined {
  const isWindow = typeof attention === 'object' && 'window' in attention;
  const reach = isWindow ? attention.window + (attention.sinks ?? 0) : Number.POSITIVE_INFINITY;
  if (!slides || (reach <= window && reach < blocks - 1)) return undefined;
  return 'blocks attend a sliding window of earlier ones, which this model is not trained for';
}

/** A request that was checked, with nothing left open. Nothing is drawn yet. It is itself a request for the same plan. */
export interface SamplePlan extends Omit<SampleRequest, keyof SettingsRequest>, PlannedSettings {
  /** Blocks of each sample, those given included. */
  readonly blocks: number;
  /** Max finished blocks that are attended. */
  readonly window: number;
  /** There are more blocks than positions, so the window of earlier blocks slides. */
  readonly slides: boolean;
  readonly contextNoise: number;
  /** `labels[sample][block]` */
  readonly labels: readonly (readonly number[])[];
  readonly seed: number;
  readonly first: number;
}

/** Default seed of samples in the library, on the command line and in the web app, as in the official scripts. */
export const DEFAULT_SEED = 42;

/**
 * Checks a request and fills in all defaults. It is the only check of a request: the command line and the server name
 * the flag or parameter that stands for the error's field.
 * @throws {ArgumentError} with the first field that is out of range
 */
export function planSampling(config: AcditConfig, request: SampleRequest): SamplePlan {
  const { labels, noise, given, seed = DEFAULT_SEED, first = 0 } = request;
  const { classes } = config;
  if (!Array.isArray(labels)) throw notClassNumbers(labels);
  if (labels.length === 0) throw invalid('labels', 'must name at least one class');
  const length = planLength(config, request);
  const { blocks } = length;
  for (const [name, value] of Object.entries({ seed, first })) {
    if (!Number.isSafeInteger(value)) throw invalid(name, `must be an integer, got ${printable(value)}`);
  }
  const shape = [labels.length, blocks, config.blockSize, tokenSize(config)];
  if (noise) requireNoise(shape, noise);
  if (given) requireGiven(shape, given);
  const isClass = (label: number): boolean => Number.isInteger(label) && label >= 0 && label <= classes;
  const labelRange = `must be from 0 to ${classes - 1} (${classes} for no class)`;
  const { cfg: _, ...rest } = request;
  const plan = {
    ...rest,
    ...length,
    labels: labels.map((label) => {
      requireNumbers(label);
      return perBlock(blocks, 'labels', label, isClass, labelRange);
    }),
    ...planSettings(config, blocks, request),
    contextNoise: plannedContextNoise(config, request.contextNoise),
    seed,
    first,
  };
  if (attentionOf(config).together) requireAlike(plan);
  return plan;
}

/** Checks that all blocks are sampled alike, in a model that denoises them together. */
function requireAlike({ labels, steps, timesteps, guidance }: SamplePlan): void {
  const lists = {
    labels,
    steps: [steps],
    timesteps: [Array.isArray(timesteps) ? timesteps : []],
    guidance: [guidance.scale],
  };
  for (const [name, ofSamples] of Object.entries(lists)) {
    const differ = ofSamples.some((ofBlocks) => new Set(ofBlocks.map((value) => String(value))).size > 1);
    if (differ)
      throw invalid(name, 'must be the same for all blocks, since this model denoises them together');
  }
}

/** @throws {ArgumentError} if the model cannot make this many blocks, or attend this many earlier ones. */
export function planLength(
  config: AcditConfig,
  request: { readonly blocks?: number | undefined; readonly window?: number | undefined },
): Pick<SamplePlan, 'blocks' | 'window' | 'slides'> {
  const blocks = plannedBlocks(config, request.blocks);
  const window = plannedWindow(config, blocks, request.window);
  return { blocks, window, slides: blocks - 1 > window };
}

/** Returns the label that a block of each sample has. */
export function labelsOf({ labels }: SamplePlan, block: number): number[] {
  return labels.map((ofBlocks) => at(ofBlocks, block));
}

/** Returns the solver steps of a sample: those of all blocks that are not given. */
export function stepsOfSample({ steps, given }: SamplePlan): number {
  return steps.slice(given?.shape[1]).reduce((sum, count) => sum + count, 0);
}

/** Returns the passes through the network that a sample takes: those of all blocks that are not given. */
export function passesOfSample(plan: Pick<SamplePlan, 'passes' | 'given'>): number {
  return passesOfBlocks(plan).reduce((sum, count) => sum + count, 0);
}

/** Returns the passes per block, the mean of all blocks. */
export function meanPasses({ passes }: Pick<SamplePlan, 'passes'>): number {
  return passes.reduce((sum, count) => sum + count, 0) / passes.length;
}

/** Returns the passes through the network that each block of a sample takes; none if it is given. */
export function passesOfBlocks({ passes, given }: Pick<SamplePlan, 'passes' | 'given'>): number[] {
  return passes.map((count, block) => (block < (given?.shape[1] ?? 0) ? 0 : count));
}

/** Max blocks of a sample; its plan spells out each. */
export const MAX_BLOCKS = 2 ** 16;

/** Only videos can be continued: the blocks of an image fill it. */
function plannedBlocks({ blocks: own, frames, attention }: AcditConfig, blocks = own): number {
  if (!Number.isInteger(blocks) || blocks < 1) {
    throw invalid('blocks', `must be 1 or more, got ${printable(blocks)}`);
  }
  if (blocks > MAX_BLOCKS) throw invalid('blocks', `must be at most ${MAX_BLOCKS}, got ${blocks}`);
  if (frames === 1 && blocks !== own) {
    throw invalid('blocks', `must be ${own}, since an image of this model has ${own} blocks, got ${blocks}`);
  }
  if (blocks !== own && attention && attentionOf({ attention }).fixed) {
    throw invalid(
      'blocks',
      `must be ${own}, since the attention of this model is ${describeAttention(attention)}, got ${blocks}`,
    );
  }
  if (own === 1 && blocks > 1) {
    throw invalid(
      'blocks',
      `must be 1, since this model makes videos in one block and cannot continue them, got ${blocks}`,
    );
  }
  return blocks;
}

function plannedWindow(
  { blocks: own, attention }: AcditConfig,
  blocks: number,
  window = Math.max(own - 1, 1),
): number {
  if (attention && attentionOf({ attention }).fixed && window !== Math.max(own - 1, 1)) {
    throw invalid(
      'window',
      `must be left out, since the attention of this model is ${describeAttention(attention)}`,
    );
  }
  if (!Number.isInteger(window) || window < 1 || (window > own - 1 && blocks > 1)) {
    throw invalid(
      'window',
      `must be 1 to ${own - 1}, the finished blocks that the model was trained to attend, got ${printable(window)}`,
    );
  }
  return window;
}

function plannedContextNoise(
  config: AcditConfig,
  contextNoise = diffusionSettings(config).contextNoise,
): number {
  const problem = contextNoiseProblem(config, contextNoise);
  if (problem) throw invalid('contextNoise', problem);
  return contextNoise;
}

/** Checks labels that TypeScript would not have allowed, such as names. */
function requireNumbers(label: PerBlock): void {
  const wrong = [label].flat().find((one) => typeof one !== 'number');
  if (wrong !== undefined || label === undefined || label === null) throw notClassNumbers(wrong ?? label);
}

/** Makes the error for labels that are not class numbers. */
function notClassNumbers(got: unknown): ArgumentError {
  const shown = typeof got === 'string' ? `'${printable(got)}'` : printable(got);
  return invalid(
    'labels',
    `must be a list of class numbers, such as [0, 3], got ${shown}; findClass returns the number of a class by its name`,
  );
}

function requireNoise(shape: readonly number[], noise: Tensor<'float32'>): void {
  if (noise.shape.join() !== shape.join()) {
    throw invalid('noise', `must have shape [${shape}], got [${noise.shape}]`);
  }
  requireFinite('noise', noise);
}

function requireGiven([samples, blocks = 0, ...inner]: readonly number[], given: Tensor<'float32'>): void {
  const [rows, kept = 0, ...rest] = given.shape;
  if ((rows !== samples && rows !== 1) || kept >= blocks || rest.join() !== inner.join()) {
    const expected = [samples === 1 ? 1 : `${samples} or 1`, `1 to ${blocks - 1}`, ...inner];
    throw invalid('given', `must have shape [${expected.join(', ')}], got [${given.shape.join(', ')}]`);
  }
  requireFinite('given', given);
}

function requireFinite(name: string, value: Tensor<'float32'>): void {
  const problem = nonFinite(value);
  if (problem) throw invalid(name, problem);
}

/**
 * Draws the starting noise (N, T, B, C) of a plan, or returns the given one. All blocks of a sample are drawn at once:
 * as in PyTorch, `randn` rounds its count up to groups of 16 values, so drawing block by block would give other numbers.
 */
export function startingNoise(config: AcditConfig, plan: SamplePlan): Tensor<'float32'> {
  const shape = [plan.labels.length, plan.blocks, config.blockSize, tokenSize(config)];
  return plan.noise ?? float32(shape, perSampleNoise(plan).randn(elementCount(shape)));
}

/** Keep what is drawn apart from each other, and from the starting noise, which has a shorter key. */
const [SOLVER_STREAM, CONTEXT_STREAM] = [1, 2];

/** Returns what stochastic solvers draw from. */
export function solverNoise(plan: SamplePlan): NormalSource {
  return perSampleNoise(plan, SOLVER_STREAM);
}

/** Returns what the noise of finished blocks is drawn from, block after block. */
export function contextNormals(plan: SamplePlan): NormalSource {
  return perSampleNoise(plan, CONTEXT_STREAM);
}

/** Draws for a batch, sample after sample, each from its own generator. */
function perSampleNoise({ labels, seed, first }: SamplePlan, ...stream: readonly number[]): NormalSource {
  const generators = labels.map((_, n) => Generator.seeded(seed, first + n, ...stream));
  return {
    randn(count) {
      const out = new Float32Array(count);
      const size = count / generators.length;
      for (const [n, generator] of generators.entries()) out.set(generator.randn(size), n * size);
      return out;
    },
  };
}

/** Returns the given blocks of a plan, (N, B, C) each. */
export function givenBlocks({ labels, given }: SamplePlan): Tensor<'float32'>[] {
  if (!given) return [];
  const [rows, kept] = take(given.shape, 2);
  return Array.from({ length: kept }, (_, block) => {
    const own = blockOf(given, block);
    return rows === labels.length ? own : joinAxis(Array<Tensor<'float32'>>(labels.length).fill(own), 0);
  });
}

/** Block number `block` of (N, T, B, C), as (N, B, C). */
export function blockOf(value: Tensor<'float32'>, block: number): Tensor<'float32'> {
  const { shape, data } = sliceAxis(value, 1, block, block + 1);
  const [samples, , ...inner] = take(shape, 2);
  return float32([samples, ...inner], data);
}

/** T blocks of (N, B, C) as (N, T, B, C). */
export function stackBlocks(blocks: readonly Tensor<'float32'>[]): Tensor<'float32'> {
  const stacked = blocks.map(({ shape, data }) => float32(shape.toSpliced(1, 0, 1), data));
  return joinAxis(stacked, 1);
}
