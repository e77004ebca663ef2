/** @file Flags that several commands have, and what they stand for. */

import { DEFAULT_MODELS } from '../checkpoints/bundled-names.ts';
import type { StoredModel } from '../checkpoints/load.ts';
import type { OpenOptions } from '../checkpoints/official.ts';
import { ArgumentError } from '../errors.ts';
import type { Part } from '../io/parts.ts';
import { printable } from '../io/printable.ts';
import { MAXIMUM_PIXELS } from '../media/image.ts';
import { bundledModel, openNamedModel } from '../runs/model-path.ts';
import type { RunContext } from '../runs/reporter.ts';
import { choiceFlag, countFlag, type Flags, type FlagValues } from './flags.ts';

/** Lets a command replace existing files. */
export const overwriteFlags = {
  overwrite: { help: 'replace output files that exist' },
} as const satisfies Flags;

/** Lets the processes of a job array divide the work. */
export const partFlags = {
  part: {
    value: 'K/N',
    parse: partOf,
    help: 'do only part K of N, as in a job array; the same command without --part combines the parts',
  },
} as const satisfies Flags;

function partOf(text: string, flag: string): Part {
  const [, number, of] = /^(\d{1,6})\/(\d{1,6})$/.exec(text) ?? [];
  const part = { number: Number(number), of: Number(of) };
  if (part.number >= 1 && part.number <= part.of) return part;
  throw new ArgumentError(`--${flag} must be K/N with K from 1 to N, such as 3/16, got '${printable(text)}'`);
}

/** Limits the size of images and frames. */
export const pixelFlags = {
  'max-pixels': countFlag(`max pixels of an image or a video frame (default: ${MAXIMUM_PIXELS})`),
} as const satisfies Flags;

/** Choose what a run reports; see {@link defineCommand}. */
export const reportFlags = {
  json: { help: 'print events as JSON lines, without a progress bar' },
} as const satisfies Flags;

/** Choose a model's weights, and the layout that a checkpoint may not state. */
export const checkpointFlags = {
  weights: choiceFlag(
    ['model', 'ema'],
    'model, the trained weights, or ema, their moving average (default: ema of a run, model of a .pt)',
  ),
  'patch-size': countFlag('patch size, if a .pt does not state it', { aliases: ['patch_size'] }),
  'block-size': countFlag('tokens per block, if a .pt does not state it', { aliases: ['block_size'] }),
  'ar-len': countFlag('blocks in the sequence, if a .pt does not state it', { aliases: ['ar_len'] }),
  'num-frames': countFlag('video frames, if a .pt does not state it (default: 1)', {
    aliases: ['num_frames'],
  }),
} as const satisfies Flags;

type CheckpointValues = FlagValues<typeof checkpointFlags>;

/** Returns the flags as options of `openModel`. */
export function openOptions(values: CheckpointValues): OpenOptions {
  const { weights, patchSize: patch, blockSize, arLen: blocks, numFrames: frames } = values;
  return { weights, layout: { patch, blockSize, blocks, frames } };
}

/** Opens a model, by its path or its name on the hub, with these flags. */
export function openChosenModel(
  name: string,
  values: CheckpointValues,
  context: RunContext,
): Promise<StoredModel> {
  return openNamedModel(name, { ...openOptions(values), ...context });
}

/**
 * Returns the model that is named, or else the default image model, or the default video model if `video`.
 * @param flag what asks for the video model, for the message.
 * @throws {ArgumentError} if both are given.
 */
export function namedOrBundled(named: string | undefined, video = false, flag = '--video'): string {
  if (named !== undefined && video) {
    throw new ArgumentError(
      `${flag} stands for ${DEFAULT_MODELS.video}; give either it or MODEL (${named}), not both`,
    );
  }
  return named ?? bundledModel(video ? 'video' : 'image');
}
