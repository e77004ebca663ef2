/** @file All solvers by name. */

import { ArgumentError } from '../../errors.ts';
import type { NoiseSchedule } from '../noise-schedule.ts';
import { type DdimOptions, ddim } from './ddim.ts';
import { ddpm } from './ddpm.ts';
import { dpmSolverPlusPlus2M } from './dpm-solver-plus-plus-2m.ts';
import type { Solver } from './solver.ts';

/** Names that `createSolver` knows, the official scripts' solver first. */
export const solverNames = ['dpm-solver-plus-plus-2m', 'ddim', 'ddpm'] as const;
/** One of {@link solverNames}. */
export type SolverName = (typeof solverNames)[number];

/** Options of single solvers; the others ignore them. */
export type SolverOptions = DdimOptions;

/**
 * A solver that takes a sample from pure noise to clean in `steps` steps.
 * @throws {ArgumentError} if the name is unknown, or the number of steps no integer from 1 to the schedule's
 * number of timesteps.
 */
export function createSolver(
  name: SolverName,
  schedule: NoiseSchedule,
  steps: number,
  options: SolverOptions = {},
): Solver {
  switch (name) {
    case 'dpm-solver-plus-plus-2m':
      return dpmSolverPlusPlus2M(schedule, steps);
    case 'ddim':
      return ddim(schedule, steps, options);
    case 'ddpm':
      return ddpm(schedule, steps);
    default:
      throw new ArgumentError(`unknown solver '${name}': use ${solverNames.join(', ')}`);
  }
}

export type { NormalSource, Solver, SolverState, SolverStep } from './solver.ts';
