/** @file What a client asks for, checked against the model and the server's limits, as what a sampler is asked for. */

import { randomInt } from 'node:crypto';
import type { SolverName } from '../diffusion/solvers/index.ts';
import { ApiError, ArgumentError } from '../errors.ts';
import {
  type ChosenClass,
  type ClassIndex,
  classIndex,
  requireClass,
  requireClassNumber,
} from '../models/acdit/class-names.ts';
import type { AcditConfig } from '../models/acdit/config.ts';
import { type PerBlock, planSampling, type SamplePlan } from '../sampling/request.ts';
import { type EncodedTensor, OPENAI_SIZES } from './api.ts';
import { type LengthFields, requestedBlocks } from './clip-length.ts';
import { decodeTensor } from './encoding.ts';
import { sizeName } from './models.ts';
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

/** A class, or one a block, by name or number. */
type Prompt = string | number | readonly (string | number)[];

/** Fields that all requests for samples have. */
export interface SamplingFields extends LengthFields {
  readonly n: number;
  readonly seed?: number | undefined;
  readonly steps?: PerBlock | undefined;
  readonly cfg_scale?: PerBlock | undefined;
  readonly solver?: SolverName | undefined;
  readonly size?: string | undefined;
  readonly given?: EncodedTensor | undefined;
}

/** A checked request. */
export interface PlannedRequest extends SamplePlan {
  /** Notes on which class was taken if a prompt could mean two. */
  readonly notes: readonly string[];
  /** Steps of all blocks that are to be made. */
  readonly totalSteps: number;
}

/** Parameters that have another name in the library. */
const PARAMS: Readonly<Record<string, string>> = { labels: 'prompt', cfg: 'cfg_scale' };
/** Random seeds are short enough to be typed in again. */
const RANDOM_SEEDS = 2 ** 31;

/**
 * @param prompts one for each sample
 * @throws {ApiError} for the first field that does not fit
 */
export function planRequest(
  config: AcditConfig,
  prompts: readonly Prompt[],
  fields: Omit<SamplingFields, 'n'>,
  limits: Limits,
): PlannedRequest {
  if (prompts.length > limits.samples) {
    invalid('n', `n must be at most ${limits.samples} here, got ${prompts.length}`);
  }
  requireSize(config, fields.size, limits.strictSize);
  try {
    const blocks = requestedBlocks(config, fields, limits.blocks);
    const index = classIndex(config);
    const classes = prompts.map((prompt) => [prompt].flat().map((part) => classOf(index, part)));
    const plan = planSampling(config, {
      labels: classes.map((ofSample) => ofSample.map(({ label }) => label)),
      blocks,
      ...(fields.window !== undefined && { window: fields.window }),
      ...(fields.steps !== undefined && { steps: fields.steps }),
      ...(fields.cfg_scale !== undefined && { cfg: fields.cfg_scale }),
      ...(fields.solver && { solver: fields.solver }),
      ...(fields.given && { given: decodeTensor(fields.given, 'given') }),
      seed: fields.seed ?? randomInt(RANDOM_SEEDS),
    });
    const most = Math.max(...plan.steps);
    if (most > limits.steps) invalid('steps', `steps must be at most ${limits.steps} here, got ${most}`);
    return {
      ...plan,
      notes: [...new Set(classes.flat().flatMap(({ note }) => note ?? []))],
      totalSteps: plan.steps.slice(plan.given?.shape[1]).reduce((sum, value) => sum + value, 0),
    };
  } catch (error) {
    throw asApiError(error, fields);
  }
}

/** Names the parameter that stands for the wrong field of a request. */
function asApiError(error: unknown, { seconds }: LengthFields): unknown {
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
