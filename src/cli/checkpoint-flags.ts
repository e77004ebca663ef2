/** @file Flags of every command that opens a model: which weights, and the layout that a checkpoint may not state. */

import { type OpenOptions, openModel, type StoredModel } from '../checkpoints/load.ts';
import { ArgumentError } from '../errors.ts';
import { closingOnError } from '../io/byte-source.ts';
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

/**
 * Open a model with these flags.
 * @throws {ArgumentError} if a flag contradicts what the model states.
 */
export async function openChosenModel(path: string, values: CheckpointValues): Promise<StoredModel> {
  const options = openOptions(values);
  const model = await openModel(path, options);
  return closingOnError(model.archive, async () => {
    for (const part of PARTS) {
      const [given, stated] = [options.layout?.[part], model.config[part]];
      if (given === undefined || given === stated) continue;
      throw new ArgumentError(
        `--${LAYOUT_FLAGS[part]} ${given} contradicts the model, which states ${stated}; leave it out`,
      );
    }
    return model;
  });
}
