/** @file Where a solver evaluates the network, other than at the timesteps of its own. */

import { printable } from '../io/printable.ts';
import { logSignalToNoise, type NoiseSchedule, noiseLevel } from './noise-schedule.ts';

/**
 * - `uniform`: each solver's own timesteps, spaced evenly, as in the official scripts and in diffusers.
 * - `logsnr`: spaced evenly in log signal-to-noise ratio; few steps come closer to the exact solution
 *   (as DPM-Solver's, Lu et al. 2022, arXiv 2206.00927, section 3.3).
 */
export const TIMESTEP_SPACINGS = ['uniform', 'logsnr'] as const;
/** One of {@link TIMESTEP_SPACINGS}. */
export type TimestepSpacing = (typeof TIMESTEP_SPACINGS)[number];

/** The noisiest level that steps are spaced from: little happens above, where `cosine` and `flow` have much more. */
const NOISIEST = -10.2;
/** The level at which the last of few steps begins: timestep 20 of the linear schedule. */
const CLEANEST = 5.05;
/** Beyond so many steps, the last one begins at less noise, until 1000 steps visit every timestep. */
const FEW_STEPS = 16;

/**
 * Returns `steps` timesteps of a schedule, falling, from its last one, as evenly spaced in log signal-to-noise ratio as
 * whole timesteps allow.
 */
export function logSnrTimesteps(schedule: NoiseSchedule, steps: number): number[] {
  const { trainSteps } = schedule;
  const levels = Array.from({ length: trainSteps }, (_, timestep) =>
    logSignalToNoise(noiseLevel(schedule, timestep)),
  );
  const from = Math.max(levels.at(-1) ?? NOISIEST, NOISIEST);
  const to = CLEANEST + Math.log(Math.max(1, steps / FEW_STEPS));
  const timesteps: number[] = [];
  for (let i = 0; i < steps; i++) {
    const wanted = i === 0 ? trainSteps - 1 : nearest(levels, from + ((to - from) * i) / (steps - 1));
    const remaining = steps - 1 - i;
    timesteps.push(Math.max(remaining, Math.min(wanted, (timesteps[i - 1] ?? trainSteps) - 1)));
  }
  return timesteps;
}

/** Returns the index of the level that is nearest to one. */
function nearest(levels: readonly number[], wanted: number): number {
  const distances = levels.map((level) => Math.abs(level - wanted));
  return distances.indexOf(Math.min(...distances));
}

/** Returns what is wrong with a list of timesteps, to follow its name in a message; undefined if it is valid. */
export function timestepsProblem(
  timesteps: readonly number[],
  { trainSteps }: NoiseSchedule,
): string | undefined {
  if (timesteps.length === 0) return 'must have at least one timestep';
  const wrong = timesteps.findIndex((timestep, i) => {
    const most = (timesteps[i - 1] ?? trainSteps) - 1;
    return !(Number.isInteger(timestep) && timestep >= 0 && timestep <= most);
  });
  if (wrong < 0) return undefined;
  const after = wrong > 0 ? ` after ${timesteps[wrong - 1]}` : '';
  return `must be whole numbers from ${trainSteps - 1} to 0, each below the one before, got ${printable(timesteps[wrong])}${after}`;
}
