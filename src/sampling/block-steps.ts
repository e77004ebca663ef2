/** @file The steps of each block: where they lie, how they are guided, and the passes that they take. */

import { at } from '../at.ts';
import { type BlockGuidance, guidancePasses, scaleAt } from '../diffusion/guidance.ts';
import { logSignalToNoise, type NoiseSchedule, noiseLevel } from '../diffusion/noise-schedule.ts';
import {
  createSolver,
  createTunedSolver,
  type Solver,
  type SolverChoice,
} from '../diffusion/solvers/index.ts';
import type { MultistepPath } from '../diffusion/solvers/multistep.ts';
import { logSnrTimesteps, type TimestepSpacing } from '../diffusion/timesteps.ts';
import { ArgumentError } from '../errors.ts';

/** How each block is sampled, with nothing left open. */
export interface BlockSettings {
  readonly solver: SolverChoice;
  /** One per block. */
  readonly steps: readonly number[];
  /** A spacing, or a list per block. */
  readonly timesteps: TimestepSpacing | readonly (readonly number[])[];
  /** The weights of each block's steps, of a solver that was fitted to the model; see `MultistepPath`. */
  readonly weights?: readonly (readonly (readonly number[])[])[];
  readonly guidance: BlockGuidance;
}

/** The steps of a block. */
export interface BlockSteps {
  readonly solver: Solver;
  /** The guidance scale of each step. */
  readonly scales: readonly number[];
}

/** Returns what gives the steps of each block. Blocks that are sampled alike share theirs. */
export function createBlockSteps(
  schedule: NoiseSchedule,
  settings: BlockSettings,
): (block: number) => BlockSteps {
  const { solver: name, steps, timesteps, weights, guidance } = settings;
  const known = new Map<string, BlockSteps>();

  function tunedPath(block: number): MultistepPath {
    if (typeof timesteps === 'string' || !weights) {
      throw new ArgumentError("sample: the solver 'tuned' needs timesteps and weights for each block");
    }
    return { timesteps: at(timesteps, block), weights: at(weights, block) };
  }

  function solverOf(block: number): Solver {
    const count = at(steps, block);
    if (name === 'tuned') return createTunedSolver(schedule, tunedPath(block));
    if (timesteps === 'uniform') return createSolver(name, schedule, count);
    const list = timesteps === 'logsnr' ? logSnrTimesteps(schedule, count) : at(timesteps, block);
    return createSolver(name, schedule, list);
  }

  function create(block: number): BlockSteps {
    const solver = solverOf(block);
    const scales = solver.timesteps.map((timestep) =>
      scaleAt(guidance, block, logSignalToNoise(noiseLevel(schedule, timestep))),
    );
    return { solver, scales };
  }

  return (block) => {
    const list = typeof timesteps === 'string' ? timesteps : at(timesteps, block);
    const key = JSON.stringify([at(guidance.scale, block), at(steps, block), list, weights?.[block]]);
    const found = known.get(key) ?? create(block);
    known.set(key, found);
    return found;
  };
}

/** Returns the passes through the network that a block takes: two per guided step, one per other. */
export function blockPasses({ scales }: BlockSteps): number {
  return scales.reduce((sum, scale) => sum + guidancePasses(scale), 0);
}
