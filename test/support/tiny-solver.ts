/** @file Tuned solvers of tiny models: DPM-Solver++ 2M at timesteps spaced in log signal-to-noise, as if it were fitted. */

import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { openModel } from '../../src/checkpoints/load.ts';
import { modelFingerprint } from '../../src/checkpoints/model-fingerprint.ts';
import { formatSolver, SOLVER_FILE, SOLVER_VERSION } from '../../src/checkpoints/solver-file.ts';
import type { Guidance } from '../../src/diffusion/guidance.ts';
import { secondOrderWeights } from '../../src/diffusion/solvers/multistep.ts';
import { logSnrTimesteps } from '../../src/diffusion/timesteps.ts';
import { type AcditConfig, noiseScheduleOf } from '../../src/models/acdit/config.ts';

/** A solver for some numbers of steps, by default the first. */
export function tunedSolver(
  config: AcditConfig,
  counts: readonly number[],
  guidance: Guidance = { scale: 2 },
) {
  const schedule = noiseScheduleOf(config);
  const errors = { error: 0.1, secondOrderError: 0.1 };
  const solvers = counts.map((steps) => {
    const timesteps = logSnrTimesteps(schedule, steps);
    const path = { timesteps, weights: secondOrderWeights(schedule, timesteps), ...errors };
    return { steps, passes: 2 * steps, ...errors, blocks: Array.from({ length: config.blocks }, () => path) };
  });
  return { guidance, defaultSteps: counts[0] ?? 0, solvers };
}

/** Writes `solver.json` into the folder of a model, as if it was fitted to it. */
export async function saveSolver(
  folder: string,
  counts: readonly number[],
  guidance?: Guidance,
): Promise<void> {
  const model = await openModel(folder);
  const fingerprint = await modelFingerprint(model);
  const solver = tunedSolver(model.config, counts, guidance);
  await model.archive.close();
  const file = { version: SOLVER_VERSION, model: fingerprint, ...solver, settings: {} } as const;
  writeFileSync(join(folder, SOLVER_FILE), formatSolver(file));
}
