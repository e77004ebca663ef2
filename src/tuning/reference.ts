/** @file Reference trajectories: where the exact solution takes a block's samples, by a long run from the same noise. */

import { at } from '../at.ts';
import type { NoiseSchedule } from '../diffusion/noise-schedule.ts';
import { combineStep, levelsOf, secondOrderWeights, stepFactors } from '../diffusion/solvers/multistep.ts';
import { logSnrTimesteps } from '../diffusion/timesteps.ts';
import type { BlockSamples } from './block-samples.ts';
import type { Trajectories } from './fit-steps.ts';

/** Max bytes of the trajectories of a block. Of longer ones fewer points are kept. */
const TRAJECTORY_BYTES = 256e6;

/** Runs DPM-Solver++ 2M over many timesteps, and keeps where it passes. */
export async function referenceTrajectories(
  schedule: NoiseSchedule,
  samples: BlockSamples,
  block: number,
  steps: number,
  onStep: (done: number) => void = () => {},
): Promise<Trajectories> {
  const timesteps = logSnrTimesteps(schedule, steps);
  const levels = levelsOf(schedule, timesteps);
  const weights = secondOrderWeights(schedule, timesteps);
  let x = samples.start(block);
  const stride = Math.ceil((2 * steps * x.byteLength) / TRAJECTORY_BYTES);
  const grid: number[] = [];
  const points: Float32Array[] = [];
  const cleans: Float32Array[] = [];
  let previous: Float32Array | undefined;
  for (const [i, timestep] of timesteps.entries()) {
    const clean = await samples.predict(x, timestep);
    if (i % stride === 0) {
      grid.push(timestep);
      points.push(x);
      cleans.push(clean);
    }
    const { keep, pull } = stepFactors(at(levels, i), at(levels, i + 1));
    x = combineStep(x, previous ? [clean, previous] : [clean], keep, pull, at(weights, i));
    previous = clean;
    onStep(i + 1);
  }
  return {
    schedule,
    grid,
    points: [...points, x],
    cleans,
    samples: samples.count,
    predict: (latents, timestep) => samples.predict(latents, timestep),
  };
}
