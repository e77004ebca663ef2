/** @file `solver.json`: the tuned solver of one model, checked on the way in. */

import { z } from 'zod';
import type { Guidance } from '../diffusion/guidance.ts';
import { guidanceSchema } from '../diffusion/guidance-schema.ts';
import type { MultistepPath } from '../diffusion/solvers/multistep.ts';
import { type TunedSolver, type TunedSteps, tunedProblem } from '../diffusion/tuned-solver.ts';
import { CheckpointError } from '../errors.ts';
import { parseJsonOf } from '../io/json.ts';
import { type AcditConfig, noiseScheduleOf, ownGuidanceProblem } from '../models/acdit/config.ts';

/** Name of the file in a model folder. */
export const SOLVER_FILE = 'solver.json';

/** Version of the format that is written and read. */
export const SOLVER_VERSION = 1;

const errors = { error: z.number(), secondOrderError: z.number() };

const schema = z.object({
  version: z.literal(SOLVER_VERSION, { error: `must be ${SOLVER_VERSION}; make it again with acdit tune` }),
  model: z.string(),
  guidance: guidanceSchema,
  defaultSteps: z.number(),
  solvers: z
    .array(
      z.object({
        steps: z.number(),
        passes: z.number(),
        ...errors,
        blocks: z.array(
          z.object({ timesteps: z.array(z.number()), weights: z.array(z.array(z.number())), ...errors }),
        ),
      }),
    )
    .min(1),
  settings: z.record(z.string(), z.unknown()),
});

/** Relative errors on noise that nothing was fitted to. */
interface MeasuredErrors {
  readonly error: number;
  /** That of DPM-Solver++ 2M at the same timesteps. */
  readonly secondOrderError: number;
}

/** What `solver.json` holds. */
export interface SolverFile extends TunedSolver {
  readonly version: typeof SOLVER_VERSION;
  /** Fingerprint of the model that it was fitted to. */
  readonly model: string;
  /** Guidance that it was fitted for, and is used with unless another is asked for. */
  readonly guidance: Guidance;
  readonly solvers: readonly (TunedSteps &
    MeasuredErrors & {
      /** Passes per block, the mean of all blocks. */
      readonly passes: number;
      readonly blocks: readonly (MultistepPath & MeasuredErrors)[];
    })[];
  /** What it was made with. */
  readonly settings: object;
}

/**
 * Parses the text of a `solver.json`.
 * @throws {CheckpointError} if it is damaged, or does not fit the model's configuration.
 */
export function parseSolver(text: string, name: string, config: AcditConfig): SolverFile {
  const file = parseJsonOf(text, name, schema, 'not a tuned solver', CheckpointError);
  const schedule = noiseScheduleOf(config);
  const fail = (problem: string): never => {
    throw new CheckpointError(`${name}: ${problem}; make it again with acdit tune`);
  };
  const guided = ownGuidanceProblem(config, file.guidance);
  if (guided) fail(`guidance.${guided.part} ${guided.problem}`);
  for (const [i, own] of file.solvers.entries()) {
    const problem = tunedProblem(own, config.blocks, schedule);
    if (problem) fail(problem);
    const { steps, blocks } = own;
    if (steps !== blocks[0]?.timesteps.length || steps <= (file.solvers[i - 1]?.steps ?? 0)) {
      fail(`solvers must be ordered by their steps, which are those of the first block, got ${steps}`);
    }
  }
  if (!file.solvers.some(({ steps }) => steps === file.defaultSteps)) {
    fail(`there is no solver with the ${file.defaultSteps} steps that are its default`);
  }
  return file;
}

/** @throws {CheckpointError} if the solver was fitted to a model with another fingerprint. */
export function requireModel({ model }: SolverFile, fingerprint: string, name: string): void {
  if (model === fingerprint) return;
  throw new CheckpointError(
    `${name}: was made for another model (${model}; this one is ${fingerprint}); make one for this model with acdit tune`,
  );
}

/** Returns the text of a `solver.json`. Lists of numbers have a line each. */
export function formatSolver(file: SolverFile): string {
  const text = JSON.stringify(file, null, 2);
  return `${text.replace(/\[[^[\]{}]*\]/g, (list) => list.replace(/\s+/g, ' '))}\n`;
}
