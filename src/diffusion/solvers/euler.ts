/**
 * @file Euler's method for flow matching (Liu et al. 2022, arXiv 2209.03003): from noise to sample along the velocity
 * epsilon - x_0, in steps of equal length, as diffusers' FlowMatchEulerDiscreteScheduler.
 */

import { at, float32At } from '../../at.ts';
import { type NoiseSchedule, noiseLevel } from '../noise-schedule.ts';
import type { Method } from './solver.ts';

export function euler(schedule: NoiseSchedule, steps: number): Method {
  const { trainSteps } = schedule;
  const timesteps = Array.from(
    { length: steps },
    (_, i) => Math.round((trainSteps * (steps - i)) / steps) - 1,
  );
  const noises = [...timesteps.map((timestep) => noiseLevel(schedule, timestep).noise), 0];

  return {
    predicts: 'flow',
    timesteps,
    stochastic: false,
    step(index, x, velocity, state) {
      const length = at(noises, index + 1) - at(noises, index);
      return { x: x.map((value, i) => value + length * float32At(velocity, i)), state };
    },
  };
}
