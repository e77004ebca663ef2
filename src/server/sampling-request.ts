/** @file What a client asks for, checked against the model and the server's limits, as what a sampler is asked for. */

import { randomInt } from 'node:crypto';
import type { TunedSolver } from '../diffusion/tuned-solver.ts';
import { ApiError, ArgumentError } from '../errors.ts';
import {
  type ChosenClass,
  type ClassIndex,
  classIndex,
  requireClass,
  requireClassNumber,
} from '../models/acdit/class-names.ts';
import { type AcditConfig, frameCount } from '../models/acdit/config.ts';
import { defined } from '../records.ts';
import { planLength, planSampling, type SamplePlan, stepsOfSample } from '../sampling/request.ts';
import { OPENAI_SIZES, type StreamRequest, type VideoRequest } from './api.ts';
import { sizeName } from './models.ts';
import { decodeTensor } from './pictures.ts';
import { invalid } from './problems.ts';

export interface Limits {
  /** Samples of a request. */
  readonly samples: number;
  /** Steps of a block. */
  readonly steps: number;
  /** Blocks of a clip, unless the model's own are more. */
  readonly blocks: number;
  /** Sizes of OpenAI's API that are not the model's are refused. */
  readonly strictSize: boolean;
}

/** Fields of requests for samples, apart from what they are of. Clips may be asked for by seconds instead of blocks. */
type SamplingFields = Partial<Pick<VideoRequest, 'seconds' | 'fps'>> &
  Partial<
    Pick<
      StreamRequest,
      | 'blocks'
      | 'window'
      | 'seed'
      | 'preset'
      | 'steps'
      | 'timesteps'
      | 'cfg_scale'
      | 'guidance'
      | 'solver'
      | 'context_noise'
      | 'size'
      | 'given'
    >
  >;

/** A checked request. */
export interface PlannedRequest extends SamplePlan {
  /** Notes on which class was taken if a prompt could mean two. */
  readonly notes: readonly string[];
  /** Steps of all blocks that are to be made. */
  readonly totalSteps: number;
}

/** Parameters that have another name in the library. */
const PARAMS: Readonly<Record<string, string>> = {
  labels: 'prompt',
  cfg: 'cfg_scale',
  contextNoise: 'context_noise',
};
/** Random seeds are short enough to be typed in again. */
const RANDOM_SEEDS = 2 ** 31;

/**
 * @param prompts of each sample a class, or one per block
 * @param tuned the solver that was fitted to the model
 * @throws {ApiError} for the first field that does not fit
 */
export function planRequest(
  config: AcditConfig,
  prompts: readonly VideoRequest['prompt'][],
  fields: SamplingFields,
  limits: Limits,
  tuned?: TunedSolver,
): PlannedRequest {
  if (prompts.length > limits.samples) {
    invalid('n', `n must be at most ${limits.samples} here, got ${prompts.length}`);
  }
  requireSize(config, fields.size, limits.strictSize);
  const { preset, window, steps, timesteps, cfg_scale: cfg, solver, context_noise: contextNoise } = fields;
  const guidance = fields.guidance && defined(fields.guidance);
  try {
    const blocks = requestedBlocks(config, fields, limits.blocks);
    const index = classIndex(config);
    const classes = prompts.map((prompt) => [prompt].flat().map((part) => classOf(index, part)));
    const plan = planSampling(config, {
      labels: classes.map((ofSample) => ofSample.map(({ label }) => label)),
      blocks,
      ...defined({ preset, tuned, window, steps, timesteps, cfg, guidance, solver, contextNoise }),
      ...(fields.given && { given: decodeTensor(fields.given, 'given') }),
      seed: fields.seed ?? randomInt(RANDOM_SEEDS),
    });
    const most = Math.max(...plan.steps);
    if (most > limits.steps) invalid('steps', `steps must be at most ${limits.steps} here, got ${most}`);
    return {
      ...plan,
      notes: [...new Set(classes.flat().flatMap(({ note }) => note ?? []))],
      totalSteps: stepsOfSample(plan),
    };
  } catch (error) {
    throw asApiError(error, fields);
  }
}

/** Names the parameter that stands for the wrong field of a request. */
function asApiError(error: unknown, { seconds }: SamplingFields): unknown {
  if (!(error instanceof ArgumentError) || !error.field) return error;
  const param = PARAMS[error.field] ?? error.field;
  return new ApiError(400, 'invalid_value', `${param} ${error.problem}`, {
    param: param === 'blocks' && seconds !== undefined ? 'seconds' : param,
    cause: error,
  });
}

/** Checks the size. Samples always have the model's own size, so only sizes that stand for it are accepted. */
function requireSize(config: AcditConfig, size = 'auto', strict: boolean): void {
  const own = sizeName(config);
  if (size === 'auto' || size === own || (!strict && OPENAI_SIZES.has(size))) return;
  invalid('size', `this model makes samples of ${own}, got ${size}; give the model's size, or leave it out`);
}

/** Reads a class: a text is a name or a number; a number is always the number of a class. */
function classOf(list: ClassIndex, part: string | number): ChosenClass {
  try {
    if (typeof part === 'number') return { label: requireClassNumber(list, part) };
    return requireClass(list, part);
  } catch (error) {
    if (!(error instanceof ArgumentError)) throw error;
    return invalid('prompt', error.message, 'unknown_class');
  }
}

/**
 * Returns the blocks of the samples that a client asks for.
 * @param most max blocks of a video, unless the model's own are more
 * @throws {ArgumentError} if the model cannot make this many blocks
 * @throws {ApiError} if the server does not, or if they do not end with a frame
 */
export function requestedBlocks(config: AcditConfig, fields: SamplingFields, most: number): number {
  const { param, wanted } = wantedBlocks(config, fields);
  const { blocks } = planLength(config, { blocks: wanted });
  const longest = Math.max(most, config.blocks);
  if (blocks > longest) invalid(param, `a clip must have at most ${longest} blocks here, got ${blocks}`);
  const unit = wholeFrameBlocks(config);
  if (blocks % unit !== 0) {
    invalid(param, `a clip of this model ends with a frame every ${unit} blocks, got ${blocks}`);
  }
  return blocks;
}

/** Returns the blocks that the fields ask for, and the field that does. */
function wantedBlocks(
  config: AcditConfig,
  { blocks, seconds, fps }: SamplingFields,
): { readonly param: 'blocks' | 'seconds'; readonly wanted: number | undefined } {
  if (seconds === undefined || fps === undefined) return { param: 'blocks', wanted: blocks };
  if (blocks !== undefined) invalid('seconds', 'seconds and blocks both set the length; give one of them');
  return { param: 'seconds', wanted: blocksOfSeconds(config, Number(seconds), fps) };
}

/** Returns the nearest possible number of blocks. */
function blocksOfSeconds(config: AcditConfig, seconds: number, fps: number): number {
  const unit = wholeFrameBlocks(config);
  const perUnit = frameCount(config, unit);
  const frames = Math.round(seconds * fps);
  if (frames < perUnit) {
    invalid(
      'seconds',
      `${seconds} s are ${frames} frames at ${fps} a second, and a clip has at least ${perUnit}; give more seconds`,
    );
  }
  return unit * Math.round(frames / perUnit);
}

/** The fewest blocks that end with a frame: mostly 1. A model's own do, so there are some. */
function wholeFrameBlocks(config: AcditConfig): number {
  let blocks = 1;
  while (!Number.isInteger(frameCount(config, blocks))) blocks++;
  return blocks;
}
