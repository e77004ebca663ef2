/** @file Solvers that were fitted to a model by `acdit tune`: steps for each of its blocks, for some numbers of steps. */

import type { Guidance } from './guidance.ts';
import type { NoiseSchedule } from './noise-schedule.ts';
import type { MultistepPath } from './solvers/multistep.ts';
import { timestepsProblem } from './timesteps.ts';

/** The steps of each block, the first block first. */
export interface TunedSteps {
  /** What they are asked for by: the steps of the first block. Later blocks may have fewer. */
  readonly steps: number;
  readonly blocks: readonly MultistepPath[];
}

/** A solver of one model. */
export interface TunedSolver {
  /** Guidance that it was fitted for, which the preset `fast` samples with; the model's own if it is not known. */
  readonly guidance?: Guidance;
  /** Steps that are taken if none are asked for. */
  readonly defaultSteps: number;
  /** By number of steps, the fewest first. */
  readonly solvers: readonly TunedSteps[];
}

/** Returns what is wrong with the steps of all blocks of a model, to follow its name; undefined if they are valid. */
export function tunedProblem(
  { blocks, steps }: TunedSteps,
  modelBlocks: number,
  schedule: NoiseSchedule,
): string | undefined {
  if (blocks.length !== modelBlocks) {
    return `has steps for ${blocks.length} blocks, but the model has ${modelBlocks}`;
  }
  for (const [block, path] of blocks.entries()) {
    const problem = pathProblem(path, schedule);
    if (problem) return `block ${block + 1} of the solver with ${steps} steps: ${problem}`;
  }
  return undefined;
}

/** The sum of a step's weights differs from 1 by no more. */
const SUM_TOLERANCE = 1e-6;

/** Fitted weights are within 4; much larger ones would only magnify rounding. */
const MAX_WEIGHT = 1000;

/** Returns what is wrong with the steps of a block, to follow its name in a message; undefined if they are valid. */
function pathProblem({ timesteps, weights }: MultistepPath, schedule: NoiseSchedule): string | undefined {
  const problem = timestepsProblem(timesteps, schedule);
  if (problem) return `timesteps ${problem}`;
  if (weights.length !== timesteps.length) {
    return `has weights of ${weights.length} steps for ${timesteps.length} timesteps`;
  }
  for (const [i, own] of weights.entries()) {
    const sum = own.reduce((total, weight) => total + weight, 0);
    if (own.length < 1 || own.length > i + 1) {
      return `has ${own.length} weights in step ${i + 1}, which has ${i + 1} predictions`;
    }
    const large = own.find((weight) => Math.abs(weight) > MAX_WEIGHT);
    if (large !== undefined) {
      return `has the weight ${large} in step ${i + 1}; weights must be from -${MAX_WEIGHT} to ${MAX_WEIGHT}`;
    }
    if (!(Math.abs(sum - 1) <= SUM_TOLERANCE)) {
      return `has weights with the sum ${sum} in step ${i + 1}; it must be 1`;
    }
  }
  return undefined;
}
