/** @file What a client asks for, checked against the model and the server's limits, as what a sampler is asked for. */

import { randomInt } from 'node:crypto';
import { at } from '../at.ts';
import type { SolverName } from '../diffusion/solvers/index.ts';
import { ApiError, ArgumentError } from '../errors.ts';
import { printable } from '../io/printable.ts';
import {
  type ChosenClass,
  type ClassIndex,
  classIndex,
  requireClass,
  requireClassNumber,
} from '../models/acdit/class-names.ts';
import { type AcditConfig, defaultGuidance, tokenSize } from '../models/acdit/config.ts';
import { didYouMean } from '../nearest.ts';
import type { PerBlock, SampleLength, SampleRequest } from '../sampling/request.ts';
import { joinAxis } from '../tensor/axes.ts';
import type { Tensor } from '../tensor/tensor.ts';
import { type EncodedTensor, OPENAI_SIZES } from './api.ts';
import { type LengthFields, requestedLength } from './clip-length.ts';
import { decodeTensor } from './encoding.ts';
import { invalid } from './problems.ts';
import { type ServedModel, sizeName } from './served-model.ts';

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

/** A request with nothing left open but the noise. */
export interface PlannedRequest extends SampleRequest, SampleLength {
  readonly blocks: number;
  readonly window: number;
  /** `labels[sample][block]` */
  readonly labels: readonly (readonly number[])[];
  /** Notes on which class was taken if a prompt could mean two. */
  readonly notes: readonly string[];
  /** One a block. */
  readonly steps: readonly number[];
  readonly cfg: readonly number[];
  readonly seed: number;
  /** Steps of all blocks that are to be made. */
  readonly totalSteps: number;
}

const DEFAULT_STEPS = 25;
/** Random seeds are short enough to be typed in again. */
const RANDOM_SEEDS = 2 ** 31;

/**
 * The model that a request names; if it names none, the first that makes what is asked for, else the first.
 * @throws {ApiError} if there is no such model, naming the nearest
 */
export function findModel(
  models: readonly ServedModel[],
  name: string | undefined,
  makes?: 'images' | 'videos',
): ServedModel {
  if (name === undefined) {
    const fits = ({ config }: ServedModel): boolean => (config.frames > 1 ? 'videos' : 'images') === makes;
    return models.find(fits) ?? at(models, 0);
  }
  const found = models.find(({ id }) => id === name);
  if (found) return found;
  const ids = models.map(({ id }) => id);
  throw new ApiError(
    404,
    'model_not_found',
    `there is no model '${printable(name)}'${didYouMean(name, ids, (id) => `'${id}'`) || '.'} There are ${ids.join(', ')}`,
    { param: 'model' },
  );
}

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
  const length = requestedLength(config, fields, limits.blocks);
  const { blocks } = length;
  const index = classIndex(config);
  const classes = prompts.map((prompt) =>
    perBlock(blocks, 'prompt', prompt).map((part) => classOf(index, part)),
  );
  const steps = perBlock(blocks, 'steps', fields.steps ?? DEFAULT_STEPS);
  const most = Math.max(...steps);
  if (most > limits.steps) invalid('steps', `steps must be at most ${limits.steps} here, got ${most}`);
  const given = fields.given && givenBlocks(config, prompts.length, blocks, fields.given);
  const kept = given?.shape[1] ?? 0;
  return {
    ...length,
    labels: classes.map((ofBlocks) => ofBlocks.map(({ label }) => label)),
    notes: [...new Set(classes.flat().flatMap(({ note }) => note ?? []))],
    steps,
    cfg: perBlock(blocks, 'cfg_scale', fields.cfg_scale ?? defaultGuidance(config)),
    seed: fields.seed ?? randomInt(RANDOM_SEEDS),
    totalSteps: steps.slice(kept).reduce((sum, value) => sum + value, 0),
    ...(fields.solver && { solver: fields.solver }),
    ...(given && { given }),
  };
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

/** Returns one value per block, from a list or a single value. */
function perBlock<T extends number | string>(blocks: number, param: string, value: T | readonly T[]): T[] {
  const values: readonly T[] = typeof value === 'object' ? value : [value];
  const [first] = values;
  if (first !== undefined && values.length === 1) return Array<T>(blocks).fill(first);
  if (values.length === blocks) return [...values];
  return invalid(
    param,
    `${param} needs one value, or one for each of ${blocks} blocks, got ${values.length}`,
  );
}

/** Blocks to go on from (N, K, B, C), where those of one sample serve all. */
function givenBlocks(
  config: AcditConfig,
  samples: number,
  blocks: number,
  encoded: EncodedTensor,
): Tensor<'float32'> {
  const given = decodeTensor(encoded, 'given');
  const [rows, kept = blocks, size, width] = given.shape;
  const fits =
    given.shape.length === 4 &&
    (rows === samples || rows === 1) &&
    size === config.blockSize &&
    width === tokenSize(config) &&
    kept < blocks;
  if (!fits) {
    const expected = `[${samples} or 1, 1 to ${blocks - 1}, ${config.blockSize}, ${tokenSize(config)}]`;
    invalid('given', `given must have shape ${expected}, got [${given.shape}]`);
  }
  return rows === samples ? given : joinAxis(Array<Tensor<'float32'>>(samples).fill(given), 0);
}
