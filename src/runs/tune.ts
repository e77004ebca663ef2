/** @file Fits a solver to a model, and keeps it where sampling finds it. */

import { basename, dirname } from 'node:path';
import { modelFingerprint } from '../checkpoints/model-fingerprint.ts';
import { formatSolver, SOLVER_VERSION, type SolverFile } from '../checkpoints/solver-file.ts';
import { weightSource } from '../checkpoints/stored-model.ts';
import { solverPath } from '../checkpoints/tuned-solver.ts';
import type { Guidance } from '../diffusion/guidance.ts';
import type { TunedSteps } from '../diffusion/tuned-solver.ts';
import { ArgumentError } from '../errors.ts';
import { invalidOption } from '../invalid-option.ts';
import { companionFile, makeFolders, writeTextAtomically } from '../io/atomic-write.ts';
import { closingAfter } from '../io/byte-source.ts';
import { type Lock, takeLock } from '../io/lock.ts';
import { formatDuration } from '../io/quantities.ts';
import { attentionOf } from '../models/acdit/attention.ts';
import { type AcditConfig, noiseScheduleOf } from '../models/acdit/config.ts';
import { openNoisePredictor } from '../sampling/noise-predictor.ts';
import { meanPasses, planSampling, type SamplePlan } from '../sampling/request.ts';
import { type PerBlock, resolveSettings } from '../sampling/settings.ts';
import { assembleSolvers, type FitState, fitSolvers } from '../tuning/fit-solvers.ts';
import { defaultBatch, type SamplerSource } from './batches.ts';
import { requireFreeFiles } from './checks.ts';
import { type ActiveContext, contextOf, type RunContext } from './reporter.ts';
import { type GuidanceSearch, SEARCH_SAMPLES, searchGuidance } from './tune-guidance.ts';
import { openJournal, type TuningJournal } from './tuning-journal.ts';

/** Numbers of steps that are fitted by default. */
export const TUNED_STEPS: readonly number[] = [5, 6, 7, 8, 10, 12];
const DEFAULT_TUNED_STEPS = 8;
/** Defaults of {@link TuneOptions}. */
export const TUNING_SAMPLES = 24;
export const REFERENCE_STEPS = 80;
export const TUNING_SEED = 1;

/** What to fit, and how carefully. */
export interface TuneOptions extends RunContext, SamplerSource {
  /** Path of the model, in whose folder the solver is kept. */
  readonly path: string;
  /** Numbers of steps to fit (default: 5, 6, 7, 8, 10, 12). */
  readonly steps?: readonly number[] | undefined;
  /** Steps of the solver that is used by default (default: 8, or what of `steps` is nearest). */
  readonly defaultSteps?: number | undefined;
  /** Guidance scale to fit for, instead of `guidance`. */
  readonly cfg?: PerBlock | undefined;
  /** Guidance to fit for (default: what it leaves out is the model's own). */
  readonly guidance?: Partial<Guidance> | undefined;
  /** Searches guidance by the quality of samples, instead of taking it from `cfg` or `guidance`. */
  readonly search?: GuidanceSearch | undefined;
  /** Samples that weights are fitted to; half as many choose timesteps, and as many again measure (default: 24). */
  readonly samples?: number | undefined;
  /** Steps of the reference that solvers are fitted to (default: 80). */
  readonly referenceSteps?: number | undefined;
  /** Random seed of the samples' noise (default: 1). */
  readonly seed?: number | undefined;
  /** Samples per pass (default: 16, fewer if the cache would exceed 1 GB). */
  readonly batch?: number | undefined;
  /** Replace the model's solver if there is one (default: false). */
  readonly overwrite?: boolean | undefined;
}

/** A finished tuning. */
export interface TuneResult extends Pick<SolverFile, 'guidance' | 'defaultSteps'> {
  /** Path of the solver. */
  readonly file: string;
  /** Relative errors on held-out noise, by number of steps, and those of DPM-Solver++ 2M at the same timesteps. */
  readonly solvers: readonly Omit<SolverFile['solvers'][number], 'blocks'>[];
  readonly seconds: number;
}

/** Options with their defaults; what determines the solver, apart from the model. */
interface TuningSettings {
  readonly steps: readonly number[];
  readonly guidance: Guidance;
  readonly samples: number;
  readonly referenceSteps: number;
  readonly seed: number;
}

/**
 * Fits solvers for some numbers of steps, and writes `solver.json`. The same options resume a run that was interrupted,
 * and lead to the same file.
 * @throws {ArgumentError} for the first option that is not valid, if there is a solver that may not be replaced, or another
 * process makes one; {CheckpointError} if the model's weights are NaN; the signal's reason once it is aborted.
 */
export async function tuneModel(options: TuneOptions): Promise<TuneResult> {
  const started = performance.now();
  const context = contextOf(options);
  const { report, signal } = context;
  const { model, path, overwrite } = options;
  const { config } = model;
  if (attentionOf(config).together) {
    throw new ArgumentError(
      'tune: fits a solver block by block, and this model denoises all blocks together (attention full)',
    );
  }
  const settings = tuningSettings(options);
  const defaultSteps = chosenSteps(settings.steps, options.defaultSteps);
  const fingerprint = await modelFingerprint(model, signal);
  const file = await solverPath(path, fingerprint);
  await makeFolders(dirname(file));
  const lock = await takeLock(companionFile(file, '.lock'), {
    signal,
    refusal: (owner) =>
      new ArgumentError(`cannot write ${file}: ${owner} is making it; wait until it has finished`),
    onWait: (owner) => report.say(`checking whether ${owner} still tunes this model`),
  });
  return closingAfter(lock, async () => {
    const identity = { version: SOLVER_VERSION, model: fingerprint } as const;
    const searched = searchSettings(options);
    const journal = await openJournal(file, { ...identity, settings, ...searched }, lock);
    if (journal.state.blocks.length + journal.trials.length === 0)
      await requireFreeFiles([file], overwrite, false);
    const guidance = await chosenGuidance(options, settings, { journal, path: file }, context);
    const state = await fitMissing(options, { ...settings, guidance }, journal, context);
    const { guidance: _, ...made } = { ...settings, ...searched };
    const solvers = assembleSolvers(state, settings.steps, config.blocks).map((solver) => {
      const { steps, ...rest } = solver;
      return { steps, passes: solverPasses(config, guidance, solver), ...rest };
    });
    await writeSolver(file, { ...identity, guidance, defaultSteps, solvers, settings: made }, lock);
    await journal.remove();
    const seconds = (performance.now() - started) / 1000;
    report.say(`${solvers.length} solvers in ${formatDuration(seconds)}`);
    const measured = solvers.map(({ blocks: _, ...solver }) => solver);
    return { file, guidance, defaultSteps, solvers: measured, seconds };
  });
}

function tuningSettings({ model, ...options }: TuneOptions): TuningSettings {
  const { samples = TUNING_SAMPLES, referenceSteps = REFERENCE_STEPS, seed = TUNING_SEED } = options;
  const { cfg, guidance: asked } = options;
  // With its steps, the model's preset has no part.
  const { guidance } = resolveSettings(model.config, { cfg, guidance: asked, steps: referenceSteps });
  const steps = [...new Set(options.steps ?? TUNED_STEPS)].sort((a, b) => a - b);
  const isCount = (count: number): boolean => Number.isInteger(count) && count >= 2;
  const most = Math.floor(referenceSteps / 2);
  if (!isCount(referenceSteps) || referenceSteps > 1000) {
    throw invalidOption('referenceSteps', `must be an integer from 2 to 1000, got ${referenceSteps}`);
  }
  const wrong = steps.find((count) => !isCount(count) || count > most);
  if (wrong !== undefined || steps.length === 0) {
    const problem = `must be integers from 2 to ${most}, half the reference's steps, got ${wrong ?? 'none'}`;
    throw invalidOption('steps', problem);
  }
  if (!isCount(samples)) throw invalidOption('samples', `must be an integer of at least 2, got ${samples}`);
  if (!Number.isSafeInteger(seed)) throw invalidOption('seed', `must be an integer, got ${seed}`);
  planSampling(model.config, { labels: [0], steps: referenceSteps, guidance }); // checks the guidance
  return { steps, guidance, samples, referenceSteps, seed };
}

/** Returns what determines the guidance that is searched. @throws {ArgumentError} if guidance is given too. */
function searchSettings({ search, cfg, guidance }: TuneOptions): object {
  if (!search) return {};
  if (cfg !== undefined || guidance !== undefined) {
    throw invalidOption(cfg === undefined ? 'guidance' : 'cfg', 'must be left out if guidance is searched');
  }
  const { network, reference, searchSamples = SEARCH_SAMPLES } = search;
  if (!Number.isInteger(searchSamples) || searchSamples < 2) {
    throw invalidOption('searchSamples', `must be an integer of at least 2, got ${searchSamples}`);
  }
  return { search: { network, reference: basename(reference), samples: searchSamples } };
}

/** Returns the guidance to fit for. */
async function chosenGuidance(
  { search, model, device, precision }: TuneOptions,
  { guidance }: TuningSettings,
  { journal, path }: { readonly journal: TuningJournal; readonly path: string },
  context: ActiveContext,
): Promise<Guidance> {
  if (!search) return guidance;
  const { trials, saveTrials: save } = journal;
  const found = await searchGuidance({ model, device, precision }, search, { trials, path, save }, context);
  context.report.say(`guidance: ${JSON.stringify(found)}`);
  return found;
}

/** @throws {ArgumentError} if solvers with this number of steps are not fitted. */
function chosenSteps(steps: readonly number[], chosen: number | undefined): number {
  if (chosen !== undefined && !steps.includes(chosen)) {
    throw invalidOption('defaultSteps', `must be one of ${steps.join(', ')}, got ${chosen}`);
  }
  const distance = (count: number): number => Math.abs(count - DEFAULT_TUNED_STEPS);
  return chosen ?? steps.reduce((best, count) => (distance(count) < distance(best) ? count : best));
}

/** Classes of which samples are taken; of more, every few. */
const MAX_CLASSES = 16;

/** Plans samples whose classes take turns. */
function samplesPlan(
  config: AcditConfig,
  { seed, guidance, referenceSteps: steps }: TuningSettings,
  first: number,
  count: number,
): SamplePlan {
  const { classes } = config;
  const used = Math.min(classes, MAX_CLASSES);
  const labels = Array.from({ length: count }, (_, i) => Math.floor((((first + i) % used) * classes) / used));
  return planSampling(config, { labels, seed, first, steps, guidance });
}

/** Fits what the journal does not have yet. */
async function fitMissing(
  { model, device, precision, batch }: TuneOptions,
  settings: TuningSettings,
  journal: TuningJournal,
  { report, signal }: ActiveContext,
): Promise<FitState> {
  const { config } = model;
  const { steps, samples, referenceSteps } = settings;
  const fitted = samples + Math.ceil(samples / 2);
  // Modulations are kept: timesteps are tried again and again.
  const weights = weightSource(model);
  const predictor = await openNoisePredictor(device, config, weights, {
    precision,
    batching: {},
    signal,
  });
  const progress = report.progress({ total: 1000, label: 'tune', unit: 'part' });
  try {
    return await fitSolvers(
      {
        predictor,
        weights,
        schedule: noiseScheduleOf(config),
        batch: batch ?? defaultBatch(config),
        fitted: samplesPlan(config, settings, 0, fitted),
        held: samplesPlan(config, settings, fitted, Math.ceil(samples / 2)),
        steps,
        referenceSteps,
        signal,
        onPart: journal.save,
        onProgress: (done, total, block) =>
          progress.update(Math.floor((1000 * done) / total), { block: `${block + 1}/${config.blocks}` }),
      },
      journal.state,
    );
  } catch (error) {
    if (signal.aborted) report.say('stopped; the same command resumes from here');
    throw error;
  } finally {
    progress.finish();
    await predictor.dispose();
  }
}

/** Returns the passes per block of a solver, the mean of all blocks. */
function solverPasses(config: AcditConfig, guidance: Guidance, solver: TunedSteps): number {
  const tuned = { defaultSteps: solver.steps, solvers: [solver] };
  return meanPasses(planSampling(config, { labels: [0], solver: 'tuned', tuned, guidance }));
}

async function writeSolver(file: string, solver: SolverFile, lock: Lock): Promise<void> {
  await lock.requireHeld();
  await writeTextAtomically(file, formatSolver(solver));
}
