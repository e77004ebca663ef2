/**
 * @file Euler's method for flow matching (Liu et al. 2022, arXiv 2209.03003): from noise to sample along the velocity
 * epsilon - x_0, by default in steps of equal length, as diffusers' FlowMatchEulerDiscreteScheduler.
 */

import { at, float32At } from '../../at.ts';
import { type NoiseSchedule, noiseLevel } from '../noise-schedule.ts';
import type { Method } from './solver.ts';

/** Returns the timesteps of steps of equal length, falling. */
export function equalTimesteps({ trainSteps }: NoiseSchedule, steps: number): number[] {
  return Array.from({ length: steps }, (_, i) => Math.round((trainSteps * (steps - i)) / steps) - 1);
}

export function euler(schedule: NoiseSchedule, timesteps: readonly number[]): Method {
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
