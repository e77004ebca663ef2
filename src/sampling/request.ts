/** @file What a sampler can be asked for: the one check of a request, which spells it out block by block. */

import { at, take } from '../at.ts';
import { linearNoiseSchedule } from '../diffusion/noise-schedule.ts';
import { type NormalSource, type SolverName, solversOf } from '../diffusion/solvers/index.ts';
import { TIMESTEP_SPACINGS, type TimestepSpacing, timestepsProblem } from '../diffusion/timesteps.ts';
import { ArgumentError } from '../errors.ts';
import { printable } from '../io/printable.ts';
import { type AcditConfig, defaultGuidance, diffusionSettings, tokenSize } from '../models/acdit/config.ts';
import { joinAxis, sliceAxis } from '../tensor/axes.ts';
import { nonFinite } from '../tensor/finite.ts';
import { Generator } from '../tensor/generator.ts';
import { elementCount, float32, type Tensor } from '../tensor/tensor.ts';

/** A value for all blocks, or one per block. */
export type PerBlock = number | readonly number[];

/** How timesteps are spaced, a falling list of them for all blocks, or one list per block. */
export type Timesteps = TimestepSpacing | readonly number[] | readonly (readonly number[])[];

/** What to sample, and how. */
export interface SampleRequest {
  /** A class for each sample, or one for each of its blocks; `classes` itself stands for "no class". */
  readonly labels: readonly PerBlock[];
  /** Solver steps for each block; 25 by default, or as many as there are timesteps. */
  readonly steps?: PerBlock;
  /** Where the network is evaluated; `uniform` by default, the solver's own timesteps. */
  readonly timesteps?: Timesteps;
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
  /** Finished blocks (N, K, B, C) to continue: the first K of each sample; (1, K, B, C) are those of all samples. */
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

/** The warning for samples whose window slides. */
export const UNTRAINED = 'blocks attend a sliding window of earlier ones, which no ACDiT is trained for';

/** A request that was checked, with nothing left open. Nothing is drawn yet. */
export interface SamplePlan extends SampleRequest {
  /** Blocks of each sample, those given included. */
  readonly blocks: number;
  /** Max finished blocks that are attended. */
  readonly window: number;
  /** Some block attends the last of the blocks before it only, for which no model is trained. */
  readonly slides: boolean;
  /** `labels[sample][block]` */
  readonly labels: readonly (readonly number[])[];
  /** One per block. */
  readonly steps: readonly number[];
  /** A spacing, or a list per block. */
  readonly timesteps: TimestepSpacing | readonly (readonly number[])[];
  /** One per block. */
  readonly cfg: readonly number[];
  readonly solver: SolverName;
  readonly seed: number;
  readonly first: number;
}

/** Default solver steps per block in the library, on the command line and in the server. */
export const DEFAULT_STEPS = 25;

/** Default seed of samples in the library, on the command line and in the web app, as in the official scripts. */
export const DEFAULT_SEED = 42;

/**
 * Checks a request and fills in all defaults. It is the only check of a request: the command line and the server name
 * the flag or parameter that stands for the error's field.
 * @throws {ArgumentError} with the first field that is out of range
 */
export function planSampling(config: AcditConfig, request: SampleRequest): SamplePlan {
  const solvers = solversOf(diffusionSettings(config).noiseSchedule);
  const { labels, noise, given, seed = DEFAULT_SEED, first = 0 } = request;
  const { solver, steps, timesteps, cfg } = resolveSettings(config, request);
  const { classes } = config;
  if (!Array.isArray(labels)) throw notClassNumbers(labels);
  if (labels.length === 0) throw invalid('labels', 'must name at least one class');
  const length = planLength(config, request);
  const { blocks } = length;
  if (!solvers.includes(solver)) {
    throw invalid('solver', `must be one of ${solvers.join(', ')}, got '${printable(solver)}'`);
  }
  for (const [name, value] of Object.entries({ seed, first })) {
    if (!Number.isSafeInteger(value)) throw invalid(name, `must be an integer, got ${printable(value)}`);
  }
  const shape = [labels.length, blocks, config.blockSize, tokenSize(config)];
  if (noise) requireNoise(shape, noise);
  if (given) requireGiven(shape, given);
  const isClass = (label: number): boolean => Number.isInteger(label) && label >= 0 && label <= classes;
  const isScale = (scale: number): boolean => Number.isFinite(scale) && scale >= 0;
  const labelRange = `must be from 0 to ${classes - 1} (${classes} for no class)`;
  return {
    ...request,
    ...length,
    labels: labels.map((label) => perBlock(blocks, 'labels', label, isClass, labelRange)),
    ...plannedSteps(blocks, steps, timesteps),
    cfg: perBlock(blocks, 'cfg', cfg, isScale, 'must be 0 or more'),
    solver,
    seed,
    first,
  };
}

/** How samples are made, with all defaults. */
type SamplingSettings = Required<Pick<SampleRequest, 'steps' | 'timesteps' | 'solver' | 'cfg'>>;

/** Fills in the model's defaults for what a request leaves out. Nothing is checked. */
export function resolveSettings(
  config: AcditConfig,
  request: { readonly [Name in keyof SamplingSettings]?: SamplingSettings[Name] | undefined },
): SamplingSettings {
  const { timesteps = 'uniform' } = request;
  return {
    timesteps,
    steps: request.steps ?? stepCounts(timesteps) ?? DEFAULT_STEPS,
    solver: request.solver ?? solversOf(diffusionSettings(config).noiseSchedule)[0],
    cfg: request.cfg ?? defaultGuidance(config),
  };
}

/** Returns the steps that listed timesteps make. */
function stepCounts(timesteps: Timesteps): PerBlock | undefined {
  if (!Array.isArray(timesteps)) return undefined;
  return Array.isArray(timesteps[0]) ? timesteps.map((ofBlock) => ofBlock.length) : timesteps.length;
}

/** Spells out steps, and timesteps if they are listed, for each block. */
function plannedSteps(
  blocks: number,
  steps: PerBlock,
  timesteps: Timesteps,
): Pick<SamplePlan, 'steps' | 'timesteps'> {
  const schedule = linearNoiseSchedule(); // all schedules have as many timesteps
  const { trainSteps } = schedule;
  if (typeof timesteps === 'string' || !Array.isArray(timesteps)) {
    const spacing = TIMESTEP_SPACINGS.find((name) => name === timesteps);
    if (spacing === undefined) {
      const names = TIMESTEP_SPACINGS.join(', ');
      throw invalid('timesteps', `must be one of ${names}, or a falling list, got '${printable(timesteps)}'`);
    }
    const isCount = (count: number): boolean => Number.isInteger(count) && count >= 1 && count <= trainSteps;
    const range = `must be an integer from 1 to ${trainSteps}`;
    return { timesteps: spacing, steps: perBlock(blocks, 'steps', steps, isCount, range) };
  }
  const lists: readonly (readonly number[])[] = timesteps.some(Array.isArray) ? timesteps : [timesteps];
  if (lists.length !== blocks && lists.length !== 1) {
    throw invalid('timesteps', `must be one list, or one for each of ${blocks} blocks, got ${lists.length}`);
  }
  for (const list of lists) {
    const problem = Array.isArray(list) ? timestepsProblem(list, schedule) : 'must be lists of whole numbers';
    if (problem) throw invalid('timesteps', problem);
  }
  const planned = Array.from({ length: blocks }, (_, block) => lists[block] ?? at(lists, 0));
  const counts = planned.map(({ length }) => length);
  const asked = perBlock(blocks, 'steps', steps, () => true, '');
  if (asked.join() !== counts.join()) {
    const expected = new Set(counts).size === 1 ? at(counts, 0) : counts.join('/');
    throw invalid('steps', `must be ${expected}, as many as there are timesteps, or left out`);
  }
  return { timesteps: planned, steps: counts };
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

/** Returns the solver steps of a sample: those of all blocks that are not given. */
export function stepsOfSample({ steps, given }: SamplePlan): number {
  return steps.slice(given?.shape[1]).reduce((sum, count) => sum + count, 0);
}

/** Makes the error for a field. `problem` continues a sentence that begins with the field's name. */
function invalid(name: string, problem: string): ArgumentError {
  return new ArgumentError(`sample: ${name} ${problem}`, { field: name, problem });
}

/** Only videos can be continued: the blocks of an image fill it. */
function plannedBlocks({ blocks: own, frames }: AcditConfig, blocks = own): number {
  if (!Number.isInteger(blocks) || blocks < 1) {
    throw invalid('blocks', `must be 1 or more, got ${printable(blocks)}`);
  }
  if (frames === 1 && blocks !== own) {
    throw invalid('blocks', `must be ${own}, since an image of this model has ${own} blocks, got ${blocks}`);
  }
  if (own === 1 && blocks > 1) {
    throw invalid(
      'blocks',
      `must be 1, since this model makes videos in one block and cannot continue them, got ${blocks}`,
    );
  }
  return blocks;
}

function plannedWindow({ blocks: own }: AcditConfig, blocks: number, window = Math.max(own - 1, 1)): number {
  if (!Number.isInteger(window) || window < 1 || (window > own - 1 && blocks > 1)) {
    throw invalid(
      'window',
      `must be 1 to ${own - 1}, the finished blocks that the model was trained to attend, got ${printable(window)}`,
    );
  }
  return window;
}

/**
 * Spells out a value, or one per block, for each block.
 * @param must what the message says of a value that does not fit
 */
function perBlock(
  blocks: number,
  name: 'labels' | 'steps' | 'cfg',
  value: PerBlock,
  fits: (value: number) => boolean,
  must: string,
): number[] {
  if (typeof value !== 'number' && !Array.isArray(value)) {
    if (name === 'labels') throw notClassNumbers(value);
    throw invalid(name, `must be a number or a list of one per block, got ${printable(value)}`);
  }
  const values: readonly number[] = [value].flat();
  if (values.length !== blocks && values.length !== 1) {
    throw invalid(name, `must be one value, or one for each of ${blocks} blocks, got ${values.length}`);
  }
  for (const one of values) {
    if (name === 'labels' && typeof one !== 'number') throw notClassNumbers(one);
    if (!fits(one)) throw invalid(name, `${must}, got ${printable(one)}`);
  }
  return values.length === blocks ? [...values] : Array<number>(blocks).fill(at(values, 0));
}

/** Returns the error for labels that TypeScript would not have allowed, such as names. */
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
export function contextNoise(plan: SamplePlan): NormalSource {
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
