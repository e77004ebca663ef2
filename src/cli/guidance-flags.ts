/** @file Flags for guidance, and what they stand for. */

import { GUIDANCE_SCHEDULES } from '../diffusion/guidance.ts';
import { defined } from '../records.ts';
import type { SamplingOptions } from '../runs/sampling-plan.ts';
import { choiceFlag, type Flags, type FlagValues, list, perBlock, realNumber } from './flags.ts';

export const guidanceFlags = {
  cfg: {
    value: 'X',
    parse: perBlock(realNumber('of at least 0', (value) => value >= 0)),
    help: "guidance scale, or one for each block: 1.5/2/2/2 (default: the model's own, else 1.5, video 2.5)",
  },
  'guidance-interval': {
    value: 'A,B',
    parse: list(realNumber('such as -3.6', () => true)),
    help: "guide only where the log signal-to-noise is A to B, such as -3.6,1.8 (default: the model's own)",
  },
  'guidance-schedule': choiceFlag(
    GUIDANCE_SCHEDULES,
    "guidance over blocks: constant, or linear, rising to the scale at the last block (default: the model's own)",
  ),
} as const satisfies Flags;

/** Returns the flags as options: a scale alone replaces all of the model's own guidance. */
export function guidanceOptions({
  cfg,
  guidanceInterval: interval,
  guidanceSchedule: schedule,
}: FlagValues<typeof guidanceFlags>): Pick<SamplingOptions, 'cfg' | 'guidance'> {
  if (interval === undefined && schedule === undefined) return { cfg };
  // A list of another length is refused where requests are checked.
  return {
    cfg: undefined,
    guidance: defined({ scale: cfg, interval: interval as [number, number] | undefined, schedule }),
  };
}
