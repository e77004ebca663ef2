/** @file Diffusion without a network: noise schedules, solvers as pure steps, guidance. */

export {
  type BlockGuidance,
  GUIDANCE_SCHEDULES,
  type Guidance,
  type GuidanceBranches,
  type GuidanceSchedule,
  guidanceBranches,
  guide,
  intervalTimesteps,
} from './guidance.ts';
export {
  addNoise,
  createNoiseSchedule,
  linearNoiseSchedule,
  logSignalToNoise,
  NOISE_SCHEDULES,
  type NoiseLevel,
  type NoiseSchedule,
  type NoiseScheduleName,
  noiseLevel,
  type VariancePreservingSchedule,
} from './noise-schedule.ts';
export {
  type Denoised,
  denoise,
  PREDICTIONS,
  type Prediction,
  predictionTarget,
} from './prediction.ts';
export {
  createSolver,
  createTunedSolver,
  type Solver,
  type SolverChoice,
  type SolverName,
  type SolverState,
  type SolverStep,
  solverChoices,
  solverNames,
  solversOf,
} from './solvers/index.ts';
export type { DdimOptions } from './solvers/leading.ts';
export { type MultistepPath, secondOrderWeights } from './solvers/multistep.ts';
export type { NormalSource } from './solvers/solver.ts';
export { logSnrTimesteps, TIMESTEP_SPACINGS, type TimestepSpacing } from './timesteps.ts';
export type { TunedSolver, TunedSteps } from './tuned-solver.ts';
