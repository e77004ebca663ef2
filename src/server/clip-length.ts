/** @file How long a clip becomes that a client asks for, in blocks or in seconds. */

import { ArgumentError } from '../errors.ts';
import { type AcditConfig, frameCount } from '../models/acdit/config.ts';
import { planLength, type SampleLength } from '../sampling/request.ts';
import { invalid } from './problems.ts';

/** What a client may say of a clip's length. */
export interface LengthFields {
  readonly blocks?: number | undefined;
  readonly window?: number | undefined;
  /** Instead of blocks; a number, maybe as text. */
  readonly seconds?: number | string | undefined;
  /** Frames a second, which seconds need. */
  readonly fps?: number | undefined;
}

/**
 * @param most blocks of a clip, unless the model's own are more
 * @throws {ApiError} for the first field that does not fit
 */
export function requestedLength(config: AcditConfig, fields: LengthFields, most: number): SampleLength {
  const { window } = fields;
  const { param, blocks } = requestedBlocks(config, fields);
  const length = accept(param, () => planLength(config, { blocks }));
  const longest = Math.max(most, config.blocks);
  if (length.blocks > longest) {
    invalid(param, `a clip must have at most ${longest} blocks here, got ${length.blocks}`);
  }
  const unit = wholeFrameBlocks(config);
  if (length.blocks % unit !== 0) {
    invalid(param, `a clip of this model ends with a frame every ${unit} blocks, got ${length.blocks}`);
  }
  return window === undefined ? length : accept('window', () => planLength(config, { blocks, window }));
}

/** The blocks that a client wants, and the field that says so. */
function requestedBlocks(
  config: AcditConfig,
  { blocks, seconds, fps }: LengthFields,
): { readonly param: 'blocks' | 'seconds'; readonly blocks: number | undefined } {
  if (seconds === undefined || fps === undefined) return { param: 'blocks', blocks };
  if (blocks !== undefined) invalid('seconds', 'seconds and blocks both say how long; give one of them');
  return { param: 'seconds', blocks: blocksOfSeconds(config, Number(seconds), fps) };
}

/** As many blocks as come nearest. */
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

/** What the sampler says is wrong, as an error of the field. */
function accept<Result>(param: string, check: () => Result): Result {
  try {
    return check();
  } catch (error) {
    if (error instanceof ArgumentError) return invalid(param, error.message);
    throw error;
  }
}
