/** @file Flags of every command that opens a model: which weights, and the layout that a checkpoint may not state. */

import type { OpenOptions, StoredModel } from '../checkpoints/load.ts';
import { ArgumentError } from '../errors.ts';
import { bundledModel } from '../runs/bundled-model.ts';
import { openNamedModel } from '../runs/model-path.ts';
import type { CommandContext } from './command.ts';
import type { Flags, FlagValues } from './flags.ts';
import { choice, wholeNumber } from './values.ts';

export const checkpointFlags = {
  weights: {
    value: 'NAME',
    parse: choice(['model', 'ema']),
    help: 'model weights, or ema, their average (default: ema of a run, model of a .pt)',
  },
  'patch-size': {
    value: 'N',
    parse: wholeNumber(),
    help: 'patch size, if a .pt does not state it',
    aliases: ['patch_size'],
  },
  'block-size': {
    value: 'N',
    parse: wholeNumber(),
    help: 'tokens per block, if a .pt does not state it',
    aliases: ['block_size'],
  },
  'ar-len': {
    value: 'N',
    parse: wholeNumber(),
    help: 'blocks in the sequence, if a .pt does not state it',
    aliases: ['ar_len'],
  },
  'num-frames': {
    value: 'N',
    parse: wholeNumber(),
    help: 'video frames, if a .pt does not state it (default: 1)',
    aliases: ['num_frames'],
  },
} as const satisfies Flags;

type CheckpointValues = FlagValues<typeof checkpointFlags>;

/** The flag of each part of a layout. */
const LAYOUT_FLAGS = {
  patch: 'patch-size',
  blockSize: 'block-size',
  blocks: 'ar-len',
  frames: 'num-frames',
} as const;
const PARTS = Object.keys(LAYOUT_FLAGS) as (keyof typeof LAYOUT_FLAGS)[];

/** Returns the flags as options of `openModel`. */
export function openOptions(values: CheckpointValues): OpenOptions {
  const given = PARTS.flatMap((part) => {
    const value = values[LAYOUT_FLAGS[part]];
    return value === undefined ? [] : [[part, value] as const];
  });
  return { weights: values.weights, layout: Object.fromEntries(given) };
}

/** Opens a model, by its path or its name on the hub, with these flags. */
export function openChosenModel(
  name: string,
  values: CheckpointValues,
  context: CommandContext,
): Promise<StoredModel> {
  return openNamedModel(name, { ...openOptions(values), ...context });
}

/**
 * Returns the model that is named, or else a bundled one: of images, or of videos if `video`.
 * @param flag what asks for that of videos, for the message.
 * @throws {ArgumentError} if both are given.
 */
export function namedOrBundled(named: string | undefined, video = false, flag = '--video'): string {
  if (named !== undefined && video) {
    throw new ArgumentError(
      `${flag} stands for the bundled model of clips; leave it out, or MODEL (${named})`,
    );
  }
  return named ?? bundledModel(video ? 'video' : 'image');
}
