/** @file The steps of each block of a plan. */

import { at } from '../at.ts';
import type { NoiseSchedule } from '../diffusion/noise-schedule.ts';
import { createSolver, type Solver } from '../diffusion/solvers/index.ts';
import { logSnrTimesteps } from '../diffusion/timesteps.ts';
import type { SamplePlan } from './request.ts';

/** Returns the solver of a block, with the plan's timesteps. */
export function blockSolver(
  schedule: NoiseSchedule,
  { solver, steps, timesteps }: Pick<SamplePlan, 'solver' | 'steps' | 'timesteps'>,
  block: number,
): Solver {
  const count = at(steps, block);
  if (timesteps === 'uniform') return createSolver(solver, schedule, count);
  const list = timesteps === 'logsnr' ? logSnrTimesteps(schedule, count) : at(timesteps, block);
  return createSolver(solver, schedule, list);
}
