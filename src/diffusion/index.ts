/** @file Diffusion without a network: noise schedules, solvers as pure steps, guidance. */

export { type GuidanceBranches, guidanceBranches, guide } from './guidance.ts';
export {
  addNoise,
  type LinearScheduleOptions,
  linearNoiseSchedule,
  type NoiseLevel,
  type NoiseSchedule,
  noiseLevel,
} from './noise-schedule.ts';
export type { DdimOptions } from './solvers/ddim.ts';
export {
  createSolver,
  type Solver,
  type SolverName,
  type SolverOptions,
  type SolverState,
  type SolverStep,
  solverNames,
} from './solvers/index.ts';
export type { NormalSource } from './solvers/solver.ts';
