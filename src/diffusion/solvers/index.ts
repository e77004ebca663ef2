/** @file All solvers by name. */

import { ArgumentError, ShapeError } from '../../errors.ts';
import { isVariancePreserving, type NoiseSchedule, type NoiseScheduleName } from '../noise-schedule.ts';
import { timestepsProblem } from '../timesteps.ts';
import { dpmSolverPlusPlus2M, linspaceTimesteps } from './dpm-solver-plus-plus-2m.ts';
import { equalTimesteps, euler } from './euler.ts';
import { type DdimOptions, ddim, ddpm, leadingTimesteps } from './leading.ts';
import { type MultistepPath, multistep } from './multistep.ts';
import type { Method, Solver } from './solver.ts';

/** Names that `createSolver` knows, the official scripts' solver first. */
export const solverNames = ['dpm-solver-plus-plus-2m', 'ddim', 'ddpm', 'euler'] as const;
/** One of {@link solverNames}. */
export type SolverName = (typeof solverNames)[number];

/** The solvers that samples can be asked for; `tuned` is the one that `acdit tune` fitted to the model. */
export const solverChoices = [...solverNames, 'tuned'] as const;
/** One of {@link solverChoices}. */
export type SolverChoice = (typeof solverChoices)[number];

/** Returns the solvers that follow a schedule's path, the default first. */
export function solversOf(schedule: NoiseScheduleName): readonly [SolverName, ...SolverName[]] {
  return schedule === 'flow' ? ['euler'] : ['dpm-solver-plus-plus-2m', 'ddim', 'ddpm'];
}

/**
 * Returns a solver that takes a sample from pure noise to clean.
 * @param steps how many, at the solver's own timesteps, or the timesteps of the steps.
 * @throws {ArgumentError} if the name is unknown, the solver does not follow the schedule's path, the number of steps is
 *   not an integer from 1 to the schedule's number of timesteps, or timesteps are out of range or do not fall.
 */
export function createSolver(
  name: SolverName,
  schedule: NoiseSchedule,
  steps: number | readonly number[],
  options: DdimOptions = {},
): Solver {
  if (!solverNames.includes(name)) {
    throw new ArgumentError(`unknown solver '${name}': use ${solverNames.join(', ')}`);
  }
  return checkedSolver(name, methodOf(name, schedule, steps, options));
}

/** Returns the solver that takes the steps of a path, such as one that was fitted to a model. */
export function createTunedSolver(schedule: NoiseSchedule, path: MultistepPath): Solver {
  return checkedSolver('tuned', multistep(schedule, path));
}

function checkedSolver(name: SolverChoice, method: Method): Solver {
  const { timesteps } = method;
  return {
    ...method,
    name,
    initialState: () => ({}),
    step(index, x, predicted, state, generator) {
      if (!(index in timesteps)) {
        throw new ArgumentError(
          `${name}: step must be an integer from 0 to ${timesteps.length - 1}, got ${index}`,
        );
      }
      if (x.length !== predicted.length) {
        throw new ShapeError(
          `${name}: the sample has ${x.length} values but the prediction has ${predicted.length}`,
        );
      }
      return method.step(index, x, predicted, state, generator);
    },
  };
}

function methodOf(
  name: SolverName,
  schedule: NoiseSchedule,
  steps: number | readonly number[],
  options: DdimOptions,
): Method {
  const followsFlow = name === 'euler';
  if (followsFlow === isVariancePreserving(schedule)) {
    throw new ArgumentError(
      followsFlow
        ? `solver 'euler' follows only the noise schedule 'flow': use ${solversOf('linear').join(', ')}`
        : `solver '${name}' cannot follow the noise schedule 'flow': use euler`,
    );
  }
  const timesteps = timestepsOf(name, schedule, steps);
  if (!isVariancePreserving(schedule)) return euler(schedule, timesteps);
  if (name === 'ddim') return ddim(schedule, timesteps, options);
  return name === 'ddpm' ? ddpm(schedule, timesteps) : dpmSolverPlusPlus2M(schedule, timesteps);
}

function timestepsOf(
  name: SolverName,
  schedule: NoiseSchedule,
  steps: number | readonly number[],
): readonly number[] {
  if (typeof steps !== 'number') {
    const problem = timestepsProblem(steps, schedule);
    if (problem) throw new ArgumentError(`${name}: timesteps ${problem}`);
    return steps;
  }
  if (!(Number.isInteger(steps) && steps >= 1 && steps <= schedule.trainSteps)) {
    throw new ArgumentError(
      `${name}: steps must be an integer from 1 to ${schedule.trainSteps}, got ${steps}`,
    );
  }
  if (name === 'euler') return equalTimesteps(schedule, steps);
  return name === 'dpm-solver-plus-plus-2m'
    ? linspaceTimesteps(schedule, steps)
    : leadingTimesteps(schedule, steps);
}

export type { NormalSource, Solver, SolverState, SolverStep } from './solver.ts';
