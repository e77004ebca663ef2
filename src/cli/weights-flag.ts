/** @file The flag that chooses among the weights of a training checkpoint. */

import type { WeightsChoice } from '../checkpoints/official.ts';
import type { Flags, FlagValues } from './flags.ts';
import { choice } from './values.ts';

export const weightsFlags = {
  weights: {
    type: 'string',
    value: 'NAME',
    help: 'model or ema: weights as trained last, or their moving average (what the checkpoint calls its model)',
  },
} as const satisfies Flags;

/** @throws {ArgumentError} for another name. */
export function weightsChoice({ weights }: FlagValues<typeof weightsFlags>): WeightsChoice | undefined {
  return weights === undefined ? undefined : choice('weights', weights, ['model', 'ema'] as const);
}
