/** @file The length of a video that a client asks for, in blocks or in seconds. */

import { type AcditConfig, frameCount } from '../models/acdit/config.ts';
import { planLength } from '../sampling/request.ts';
import { invalid } from './problems.ts';

/** Fields of a request that set a video's length. */
export interface LengthFields {
  readonly blocks?: number | undefined;
  readonly window?: number | undefined;
  /** Instead of blocks; a number, maybe as text. */
  readonly seconds?: number | string | undefined;
  /** Frames per second, which seconds need. */
  readonly fps?: number | undefined;
}

/**
 * Returns the blocks of the samples that a client asks for.
 * @param most max blocks of a video, unless the model's own are more
 * @throws {ArgumentError} if the model cannot make so many blocks
 * @throws {ApiError} if the server does not, or if they do not end with a frame
 */
export function requestedBlocks(config: AcditConfig, fields: LengthFields, most: number): number {
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
  { blocks, seconds, fps }: LengthFields,
): { readonly param: 'blocks' | 'seconds'; readonly wanted: number | undefined } {
  if (seconds === undefined || fps === undefined) return { param: 'blocks', wanted: blocks };
  if (blocks !== undefined) invalid('seconds', 'seconds and blocks both set the length; give one of them');
  return { param: 'seconds', wanted: blocksOfSeconds(config, Number(seconds), fps) };
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
