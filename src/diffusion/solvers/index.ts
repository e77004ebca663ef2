/** @file All solvers by name. */

import { ArgumentError } from '../../errors.ts';
import { isVariancePreserving, type NoiseSchedule, type NoiseScheduleName } from '../noise-schedule.ts';
import { type DdimOptions, ddim } from './ddim.ts';
import { ddpm } from './ddpm.ts';
import { dpmSolverPlusPlus2M } from './dpm-solver-plus-plus-2m.ts';
import { euler } from './euler.ts';
import type { Solver } from './solver.ts';

/** Names that `createSolver` knows, the official scripts' solver first. */
export const solverNames = ['dpm-solver-plus-plus-2m', 'ddim', 'ddpm', 'euler'] as const;
/** One of {@link solverNames}. */
export type SolverName = (typeof solverNames)[number];

/** Options of single solvers; the others ignore them. */
export type SolverOptions = DdimOptions;

/** Returns the solvers that follow a schedule's path, the default first. */
export function solversOf(schedule: NoiseScheduleName): readonly [SolverName, ...SolverName[]] {
  return schedule === 'flow' ? ['euler'] : ['dpm-solver-plus-plus-2m', 'ddim', 'ddpm'];
}

/**
 * Returns a solver that takes a sample from pure noise to clean in `steps` steps.
 * @throws {ArgumentError} if the name is unknown, the solver does not follow the schedule's path, or the number of
 *   steps is not an integer from 1 to the schedule's number of timesteps.
 */
export function createSolver(
  name: SolverName,
  schedule: NoiseSchedule,
  steps: number,
  options: SolverOptions = {},
): Solver {
  if (!solverNames.includes(name)) {
    throw new ArgumentError(`unknown solver '${name}': use ${solverNames.join(', ')}`);
  }
  if (!isVariancePreserving(schedule)) {
    if (name === 'euler') return euler(schedule, steps);
    throw new ArgumentError(`solver '${name}' cannot follow the noise schedule 'flow': use euler`);
  }
  switch (name) {
    case 'dpm-solver-plus-plus-2m':
      return dpmSolverPlusPlus2M(schedule, steps);
    case 'ddim':
      return ddim(schedule, steps, options);
    case 'ddpm':
      return ddpm(schedule, steps);
    case 'euler':
      throw new ArgumentError(
        `solver 'euler' follows only the noise schedule 'flow': use ${solversOf('linear').join(', ')}`,
      );
  }
}

export type { NormalSource, Solver, SolverState, SolverStep } from './solver.ts';
