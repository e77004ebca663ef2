/** @file Fits solvers to a model: reference trajectories of each block, then steps for each block and number of steps. */

import { z } from 'zod';
import { at, get } from '../at.ts';
import type { MultistepPath } from '../diffusion/solvers/multistep.ts';
import type { SamplePlan } from '../sampling/request.ts';
import { BlockSamples, type SamplesOptions } from './block-samples.ts';
import { fitSteps, followPath, relativeErrors } from './fit-steps.ts';
import { referenceTrajectories } from './reference.ts';
import { searchSteps, searchTrials } from './search.ts';

/** What solvers are fitted to, and how carefully. */
export interface FitOptions extends SamplesOptions {
  /** Samples that weights are fitted to, followed by half as many that choose timesteps. */
  readonly fitted: SamplePlan;
  /** Samples that measure the error: nothing is fitted to them. */
  readonly held: SamplePlan;
  /** Numbers of steps, ascending. */
  readonly steps: readonly number[];
  /** Steps of the reference. */
  readonly referenceSteps: number;
  /** Gets what is finished after each part of the work. */
  readonly onPart?: (state: FitState) => Promise<void>;
  readonly onProgress?: (done: number, total: number, block: number) => void;
}

const fitSchema = z.object({
  timesteps: z.array(z.number()),
  weights: z.array(z.array(z.number())),
  /** Places of the timesteps in the reference. */
  places: z.array(z.number()),
  /** Relative error of the samples that chose. */
  choiceError: z.number(),
  /** Relative error of the held-out samples, and that of DPM-Solver++ 2M at the same timesteps. */
  error: z.number(),
  secondOrderError: z.number(),
});

/** The steps of a block, for one number of steps. */
export type BlockFit = z.infer<typeof fitSchema>;

/** What is finished. A run continues from it. */
export const fitStateSchema = z.object({
  /** By `fitKey`. */
  fits: z.record(z.string(), fitSchema),
  /** The clean samples of the finished blocks, of the samples that are fitted to and of those held out, in base64. */
  blocks: z.array(z.object({ fitted: z.base64(), held: z.base64() })),
});
export type FitState = z.infer<typeof fitStateSchema>;

export const EMPTY_FIT_STATE: FitState = { fits: {}, blocks: [] };

/** Identifies a fit in a state. */
export function fitKey(block: number, steps: number): string {
  return `${block}/${steps}`;
}

/**
 * Fits every number of steps for every block.
 * @param state of an earlier run with the same options, which this one continues: it ends with the same state.
 * @throws {CheckpointError} if the model's weights are NaN; the signal's reason once it is aborted
 */
export async function fitSolvers(options: FitOptions, state: FitState = EMPTY_FIT_STATE): Promise<FitState> {
  const { predictor, steps, referenceSteps } = options;
  const { blocks } = predictor.config;
  const samples = {
    fitted: new BlockSamples(options.fitted, options),
    held: new BlockSamples(options.held, options),
  };
  const trials = steps.map((count) => searchTrials(count, referenceSteps));
  const perBlock = 2 * referenceSteps + trials.reduce((sum, count) => sum + count, 0);
  let current = state;
  for (let block = 0; block < blocks; block++) {
    const report = (done: number): void =>
      options.onProgress?.(block * perBlock + done, blocks * perBlock, block);
    const finished = current.blocks[block];
    if (finished) {
      for (const set of ['fitted', 'held'] as const) await samples[set].finish(decodeValues(finished[set]));
      continue;
    }
    current = await fitBlock({ ...options, samples, trials, block, report }, current);
  }
  return current;
}

/** The work on one block. */
interface BlockWork extends FitOptions {
  readonly block: number;
  readonly samples: { readonly fitted: BlockSamples; readonly held: BlockSamples };
  /** Trials of the search for each number of steps. */
  readonly trials: readonly number[];
  readonly report: (done: number) => void;
}

async function fitBlock(work: BlockWork, state: FitState): Promise<FitState> {
  const { block, samples, schedule, steps, referenceSteps, trials, report, onPart } = work;
  const reference = (set: BlockSamples, before: number) =>
    referenceTrajectories(schedule, set, block, referenceSteps, (done) => report(before + done));
  const fitted = await reference(samples.fitted, 0);
  const held = await reference(samples.held, referenceSteps);
  let current = state;
  let done = 2 * referenceSteps;
  for (const [i, count] of steps.entries()) {
    const key = fitKey(block, count);
    if (!Object.hasOwn(current.fits, key)) {
      const found = await searchSteps(fitted, {
        steps: count,
        fitted: Math.ceil((fitted.samples * 2) / 3),
        passes: (timestep) => samples.fitted.passes(timestep),
        onTrial: (trial) => report(done + trial),
      });
      const { timesteps, weights } = found.path;
      const followed = await followPath(held, found.path);
      const secondOrder = await fitSteps(held, found.places, 'second-order', 0);
      const fit: BlockFit = {
        timesteps: [...timesteps],
        weights: weights.map((own) => [...own]),
        places: [...found.places],
        choiceError: found.error,
        error: relativeErrors(held, followed),
        secondOrderError: relativeErrors(held, secondOrder.result),
      };
      current = { ...current, fits: { ...current.fits, [key]: fit } };
      await onPart?.(current);
    }
    done += at(trials, i);
    report(done);
  }
  const clean = { fitted: at(fitted.points, -1), held: at(held.points, -1) };
  for (const set of ['fitted', 'held'] as const) await samples[set].finish(clean[set]);
  const finished = { fitted: encodeValues(clean.fitted), held: encodeValues(clean.held) };
  current = { ...current, blocks: [...current.blocks, finished] };
  await onPart?.(current);
  return current;
}

function encodeValues(values: Float32Array): string {
  return Buffer.from(values.buffer, values.byteOffset, values.byteLength).toString('base64');
}

function decodeValues(text: string): Float32Array {
  return new Float32Array(new Uint8Array(Buffer.from(text, 'base64')).buffer);
}

/** Later blocks may have fewer steps if that makes the error of all blocks together no larger than by this factor. */
const SAME_ERROR = 1.02;

/** Steps for each block, and their errors, as root mean squares over the blocks. */
export interface FittedSolver {
  readonly steps: number;
  readonly error: number;
  readonly secondOrderError: number;
  readonly blocks: readonly (MultistepPath & Pick<BlockFit, 'error' | 'secondOrderError'>)[];
}

/** Makes a solver for each number of steps from the fits of a finished state. */
export function assembleSolvers(
  { fits }: FitState,
  counts: readonly number[],
  blocks: number,
): FittedSolver[] {
  const fitOf = (block: number, steps: number): BlockFit => get(fits, fitKey(block, steps));
  return counts.map((steps) => {
    const chosen = fewerSteps(counts, steps, blocks, (block, count) => fitOf(block, count).choiceError);
    const own = chosen.map((count, block) => fitOf(block, count));
    return {
      steps,
      error: rootMeanSquare(own.map(({ error }) => error)),
      secondOrderError: rootMeanSquare(own.map(({ secondOrderError }) => secondOrderError)),
      blocks: own.map(({ timesteps, weights, error, secondOrderError }) => ({
        timesteps,
        weights,
        error,
        secondOrderError,
      })),
    };
  });
}

/**
 * Takes steps away from later blocks, one block at a time, where it adds least to the error, as long as the error of all
 * blocks together stays the same.
 */
function fewerSteps(
  counts: readonly number[],
  steps: number,
  blocks: number,
  errorOf: (block: number, steps: number) => number,
): number[] {
  const total = (chosen: readonly number[]): number =>
    rootMeanSquare(chosen.map((count, block) => errorOf(block, count)));
  let chosen = Array<number>(blocks).fill(steps);
  const limit = SAME_ERROR * total(chosen);
  for (;;) {
    const options = chosen.slice(1).flatMap((count, i) => {
      const fewer = counts[counts.indexOf(count) - 1];
      return fewer === undefined ? [] : [chosen.with(i + 1, fewer)];
    });
    const [best] = options.sort((a, b) => total(a) - total(b));
    if (!best || total(best) > limit) return chosen;
    chosen = best;
  }
}

function rootMeanSquare(values: readonly number[]): number {
  return Math.sqrt(values.reduce((sum, value) => sum + value ** 2, 0) / values.length);
}
