/** @file What may be asked of a sampler, checked and spelled out block by block. */

import type { NormalSource, SolverName } from '../diffusion/solvers/index.ts';
import { ArgumentError } from '../errors.ts';
import { printable } from '../io/printable.ts';
import { type AcditConfig, defaultGuidance, tokenSize } from '../models/acdit/config.ts';
import { joinAxis, sliceAxis } from '../tensor/axes.ts';
import { requireFinite } from '../tensor/finite.ts';
import { Generator } from '../tensor/generator.ts';
import { elementCount, float32, type Tensor } from '../tensor/tensor.ts';

/** A value for all blocks, or one a block. */
export type PerBlock = number | readonly number[];

/** What to sample, and how. */
export interface SampleRequest {
  /** A class for each sample, or one for each of its blocks; `classes` itself stands for "no class". */
  readonly labels: readonly PerBlock[];
  /** Solver steps for each block; 25 by default. */
  readonly steps?: PerBlock;
  /**
   * Guidance scale, 0 or more: 1 samples the class, 0 no class, and any other value combines both predictions,
   * which costs two passes per step. Default: the model's own.
   */
  readonly cfg?: PerBlock;
  readonly solver?: SolverName;
  /**
   * Seed of the starting noise and of what stochastic solvers draw (default: {@link DEFAULT_SEED}). Both depend on the
   * seed and the sample's number only, so a sample is the same in any batch.
   */
  readonly seed?: number;
  /** Number of the first sample, where a request is one batch of many; 0 by default. */
  readonly first?: number;
  /** Starting noise (N, T, B, C), instead of the seed's. */
  readonly noise?: Tensor<'float32'>;
  /** Finished blocks (N, K, B, C) to go on from: the first K blocks of each sample. */
  readonly given?: Tensor<'float32'>;
  /**
   * Blocks to end with, T; the model's own by default. A video may have more: each block then attends the last `window`
   * ones as if they were the first of a clip. No model is trained for that.
   */
  readonly blocks?: number;
  /** How many finished blocks are attended at most; by default all that the model was trained with. */
  readonly window?: number;
  readonly signal?: AbortSignal;
}

/** How long samples become, and how far back their blocks look. */
export interface SampleLength {
  /** Blocks of each sample, those given included. */
  readonly blocks: number;
  /** Most finished blocks that are attended. */
  readonly window: number;
  /** Some block attends the last of the blocks before it only, for which no model is trained. */
  readonly slides: boolean;
}

/** What is to be told of samples whose window slides. */
export const UNTRAINED = 'blocks attend a sliding window of earlier ones, which no ACDiT is trained for';

/** A request with nothing left open. */
export interface SamplePlan extends SampleLength {
  readonly samples: number;
  /** One (N, B, C) for each block that is given. */
  readonly given: readonly Tensor<'float32'>[];
  /** `labels[block][sample]` */
  readonly labels: readonly (readonly number[])[];
  /** One a block. */
  readonly steps: readonly number[];
  /** One a block. */
  readonly cfg: readonly number[];
  readonly solver: SolverName;
  /** One (N, B, C) a block. */
  readonly noise: readonly Tensor<'float32'>[];
  /** What stochastic solvers draw from: each sample's share comes from a generator of its own. */
  readonly solverNoise: NormalSource;
}

/** Solver steps per block. */
export const DEFAULT_STEPS = 25;

/** Default seed of samples in the library, on the command line and in the web app, as in the official scripts. */
export const DEFAULT_SEED = 42;

/** @throws {ArgumentError} naming what is out of range, the range, and what was given. */
export function planSampling(config: AcditConfig, request: SampleRequest): SamplePlan {
  if (!Array.isArray(request.labels)) throw notClassNumbers(request.labels);
  const samples = request.labels.length;
  if (samples === 0) throw new ArgumentError('sample: give at least one label');
  const length = planLength(config, request);
  const { blocks } = length;
  const bySample = request.labels.map((label) => perBlock(blocks, 'labels', label));
  for (const label of bySample.flat()) {
    if (typeof label !== 'number') throw notClassNumbers(label);
    if (!Number.isInteger(label) || label < 0 || label > config.classes) {
      throw new ArgumentError(
        `sample: label ${label} is outside 0 to ${config.classes - 1} (${config.classes} for no class)`,
      );
    }
  }
  const cfg = perBlock(blocks, 'cfg', request.cfg ?? defaultGuidance(config));
  for (const scale of cfg) {
    if (!Number.isFinite(scale) || scale < 0)
      throw new ArgumentError(`sample: cfg must be 0 or more, got ${scale}`);
  }
  const { seed = DEFAULT_SEED, first = 0 } = request;
  const shape = [samples, blocks, config.blockSize, tokenSize(config)];
  return {
    ...length,
    samples,
    given: givenBlocks(shape, request.given),
    labels: Array.from({ length: blocks }, (_, block) => bySample.map((labels) => labels[block])),
    steps: perBlock(blocks, 'steps', request.steps ?? DEFAULT_STEPS),
    cfg,
    solver: request.solver ?? 'dpm-solver-plus-plus-2m',
    noise: startingNoise(shape, request.noise, (n) => Generator.seeded(seed, first + n)),
    solverNoise: perSampleNoise(samples, (n) => Generator.seeded(seed, first + n, SOLVER_STREAM)),
  };
}

/** @throws {ArgumentError} if the model makes nothing so long, or blocks that look so far back. */
export function planLength(
  config: AcditConfig,
  request: { readonly blocks?: number | undefined; readonly window?: number | undefined },
): SampleLength {
  const blocks = plannedBlocks(config, request.blocks);
  const window = plannedWindow(config, blocks, request.window);
  return { blocks, window, slides: blocks - 1 > window };
}

/** Only clips go on: the blocks of a picture fill it. */
function plannedBlocks({ blocks: own, frames }: AcditConfig, blocks = own): number {
  if (!Number.isInteger(blocks) || blocks < 1) {
    throw new ArgumentError(`sample: blocks must be 1 or more, got ${blocks}`);
  }
  if (frames === 1 && blocks !== own) {
    throw new ArgumentError(`sample: a picture of this model has ${own} blocks, got ${blocks}`);
  }
  if (own === 1 && blocks > 1) {
    throw new ArgumentError(
      `sample: this model makes clips in one block, and cannot go on from it; got ${blocks} blocks`,
    );
  }
  return blocks;
}

function plannedWindow({ blocks: own }: AcditConfig, blocks: number, window = Math.max(own - 1, 1)): number {
  if (!Number.isInteger(window) || window < 1 || (window > own - 1 && blocks > 1)) {
    throw new ArgumentError(
      `sample: window must be 1 to ${own - 1}, the finished blocks that the model was trained to attend, got ${window}`,
    );
  }
  return window;
}

function givenBlocks(
  [samples, blocks, ...inner]: readonly number[],
  given: Tensor<'float32'> | undefined,
): Tensor<'float32'>[] {
  if (!given) return [];
  const [, kept] = given.shape;
  if (given.shape.length !== 4 || given.shape.join() !== [samples, kept, ...inner].join()) {
    throw new ArgumentError(
      `sample: given blocks must have shape [${[samples, 'K', ...inner].join()}], got [${given.shape}]`,
    );
  }
  if (kept >= blocks) {
    throw new ArgumentError(
      `sample: ${kept} of ${blocks} blocks are given, which leaves none to make; give fewer, or ask for more blocks`,
    );
  }
  requireFinite(given, 'sample: given blocks');
  return Array.from({ length: kept }, (_, block) => blockOf(given, block));
}

/** Returns the error for labels that TypeScript would not have allowed, such as names. */
function notClassNumbers(got: unknown): ArgumentError {
  const shown = typeof got === 'string' ? `'${printable(got)}'` : printable(got);
  return new ArgumentError(
    `sample: labels must be a list of class numbers, such as [0, 3], got ${shown}; findClass returns the number of a class ` +
      'by its name',
  );
}

function perBlock(blocks: number, what: string, value: PerBlock): number[] {
  if (typeof value === 'number') return Array<number>(blocks).fill(value);
  if (!Array.isArray(value)) {
    if (what === 'labels') throw notClassNumbers(value);
    throw new ArgumentError(
      `sample: ${what} must be a number or a list of one per block, got ${printable(value)}`,
    );
  }
  if (value.length !== blocks) {
    throw new ArgumentError(
      `sample: ${what} needs one value, or one for each of ${blocks} blocks, got ${value.length}`,
    );
  }
  return [...value];
}

/** Keeps what stochastic solvers draw apart from the starting noise, which has a shorter key. */
const SOLVER_STREAM = 1;

/** Injected noise, or each sample's own, cut into blocks. */
function startingNoise(
  shape: readonly number[],
  given: Tensor<'float32'> | undefined,
  generatorOf: (sample: number) => Generator,
): Tensor<'float32'>[] {
  const [samples, blocks] = shape;
  if (given && given.shape.join() !== shape.join()) {
    throw new ArgumentError(`sample: noise must have shape [${shape}], got [${given.shape}]`);
  }
  if (given) requireFinite(given, 'sample: noise');
  const noise = given ?? float32(shape, perSampleNoise(samples, generatorOf).randn(elementCount(shape)));
  return Array.from({ length: blocks }, (_, block) => blockOf(noise, block));
}

/** Draws for a batch, sample after sample, each from its own generator. */
function perSampleNoise(samples: number, generatorOf: (sample: number) => Generator): NormalSource {
  const generators = Array.from({ length: samples }, (_, n) => generatorOf(n));
  return {
    randn(count) {
      const out = new Float32Array(count);
      const size = count / samples;
      for (const [n, generator] of generators.entries()) out.set(generator.randn(size), n * size);
      return out;
    },
  };
}

/** Block number `block` of (N, T, B, C), as (N, B, C). */
export function blockOf(value: Tensor<'float32'>, block: number): Tensor<'float32'> {
  const { shape, data } = sliceAxis(value, 1, block, block + 1);
  const [samples, , ...inner] = shape;
  return float32([samples, ...inner], data);
}

/** T blocks of (N, B, C) as (N, T, B, C). */
export function stackBlocks(blocks: readonly Tensor<'float32'>[]): Tensor<'float32'> {
  return joinAxis(
    blocks.map(({ shape: [samples, ...inner], data }) => float32([samples, 1, ...inner], data)),
    1,
  );
}
