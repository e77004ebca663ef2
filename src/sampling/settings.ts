/** @file How samples are made: steps, timesteps, solver and guidance of a request, checked and spelled out block by block. */

import { at } from '../at.ts';
import { type Guidance, guidanceProblem, scalesOfBlocks } from '../diffusion/guidance.ts';
import { logSignalToNoise, type NoiseSchedule, noiseLevel } from '../diffusion/noise-schedule.ts';
import { type SolverChoice, solversOf } from '../diffusion/solvers/index.ts';
import { TIMESTEP_SPACINGS, type TimestepSpacing, timestepsProblem } from '../diffusion/timesteps.ts';
import { type TunedSolver, tunedProblem } from '../diffusion/tuned-solver.ts';
import { ArgumentError } from '../errors.ts';
import { printable } from '../io/printable.ts';
import {
  type AcditConfig,
  defaultGuidance,
  diffusionSettings,
  noiseScheduleOf,
  PRESETS,
  type Preset,
} from '../models/acdit/config.ts';
import { type BlockSettings, blockPasses, createBlockSteps } from './block-steps.ts';

/** A value for all blocks, or one per block. */
export type PerBlock = number | readonly number[];

/** How timesteps are spaced, a falling list of them for all blocks, or one list per block. */
export type Timesteps = TimestepSpacing | readonly number[] | readonly (readonly number[])[];

/** How samples are made. What is given replaces that part of the preset. */
export interface SettingsRequest {
  /**
   * The defaults of the rest: `exact`, or `fast`, those of the solver that was fitted to the model. Default: exact if steps,
   * timesteps or solver are given; else the model's own, or exact.
   */
  readonly preset?: Preset;
  /** Solver steps for each block. Exact: 25, or as many as there are timesteps. Fast: one that the solver was fitted for. */
  readonly steps?: PerBlock;
  /** Where the network is evaluated. Exact: `uniform`, the solver's own timesteps. */
  readonly timesteps?: Timesteps;
  /** Exact: DPM-Solver++ 2M, or Euler for models of flow. Fast: `tuned`. */
  readonly solver?: SolverChoice;
  /** The solver that was fitted to the model, for `fast` and `tuned` (default: the sampler's). */
  readonly tuned?: TunedSolver;
  /** Guidance scale at all noise levels: short for `guidance` with this scale alone. */
  readonly cfg?: PerBlock;
  /**
   * Where and how strongly predictions with the label are preferred. Without a scale, what is left out is the preset's.
   * Exact: the model's own. Fast: that which the solver was fitted for.
   */
  readonly guidance?: Partial<Guidance>;
}

/** How samples are made, checked, with nothing left open. */
export interface PlannedSettings extends BlockSettings {
  /** Passes through the network that each block takes, if it is not given. */
  readonly passes: readonly number[];
}

/** How samples are made, with all defaults. */
export type SamplingSettings = Required<
  Pick<SettingsRequest, 'preset' | 'steps' | 'timesteps' | 'solver'>
> & {
  readonly guidance: Guidance;
};

/** What settings are resolved from; the same as a request's, where undefined means left out. */
type OpenSettings = { readonly [Name in keyof SettingsRequest]?: SettingsRequest[Name] | undefined } & {
  readonly blocks?: number | undefined;
};

/** Default solver steps per block in the library, on the command line and in the server. */
export const DEFAULT_STEPS = 25;

/**
 * Fills in the model's defaults for what a request leaves out.
 * @throws {ArgumentError} if parts of it exclude each other; else nothing is checked.
 */
export function resolveSettings(config: AcditConfig, request: OpenSettings): SamplingSettings {
  const preset = resolvePreset(config, request);
  const fitted = preset === 'fast' ? requireFitted(request) : undefined;
  const usual = fitted ? 'tuned' : solversOf(diffusionSettings(config).noiseSchedule)[0];
  const { solver = usual } = request;
  const { timesteps = fitted && solver !== 'tuned' ? 'logsnr' : 'uniform' } = request;
  const tuned = solver === 'tuned' ? request.tuned : fitted;
  return {
    preset,
    timesteps,
    steps: request.steps ?? stepCounts(timesteps) ?? tuned?.defaultSteps ?? DEFAULT_STEPS,
    solver,
    guidance: resolveGuidance(config, fitted?.guidance ?? defaultGuidance(config), request),
  };
}

/**
 * Returns the preset of a request: steps, timesteps or a solver without a preset stand for the exact one.
 * @throws {ArgumentError} if there is no such preset
 */
export function resolvePreset(
  config: AcditConfig,
  { preset, steps, timesteps, solver }: Omit<OpenSettings, 'tuned'>,
): Preset {
  if (preset !== undefined) {
    if (PRESETS.includes(preset)) return preset;
    throw invalid('preset', `must be one of ${PRESETS.join(', ')}, got '${printable(preset)}'`);
  }
  return steps === undefined && timesteps === undefined && solver === undefined
    ? (config.preset ?? 'exact')
    : 'exact';
}

/** @throws {ArgumentError} if there is no solver for the preset `fast` */
function requireFitted({ tuned, preset }: OpenSettings): TunedSolver {
  if (tuned) return tuned;
  const remedy = 'make one with acdit tune, give it as tuned, or use the preset exact';
  throw invalid(
    'preset',
    preset === undefined
      ? `of the model is fast, but the solver that was fitted to it is missing; ${remedy}`
      : `must be exact, since there is no solver that was fitted to the model; ${remedy}`,
  );
}

function resolveGuidance(
  config: AcditConfig,
  own: Guidance,
  { cfg, guidance, blocks }: OpenSettings,
): Guidance {
  if (cfg !== undefined && guidance !== undefined) {
    throw invalid('guidance', 'must be left out if cfg is given; give the scale as guidance.scale');
  }
  requireGuidanceParts(guidance);
  const { scale = cfg, ...rest } = guidance ?? {};
  if (scale !== undefined) return { scale, ...rest };
  const ownScale =
    typeof own.scale === 'number' ? own.scale : scalesOfBlocks(own, blocks ?? config.blocks, config.blocks);
  return { ...own, scale: ownScale, ...rest };
}

const GUIDANCE_PARTS: readonly string[] = ['scale', 'interval', 'schedule'] satisfies (keyof Guidance)[];

/** Checks guidance that TypeScript would not have allowed, such as a misspelled part, which would have no effect. */
function requireGuidanceParts(guidance: unknown): void {
  if (guidance === undefined) return;
  const isObject = typeof guidance === 'object' && guidance !== null && !Array.isArray(guidance);
  const stray = isObject ? Object.keys(guidance).find((part) => !GUIDANCE_PARTS.includes(part)) : undefined;
  if (isObject && stray === undefined) return;
  const got = stray === undefined ? printable(guidance) : `'${printable(stray)}'`;
  throw invalid('guidance', `must be an object of ${GUIDANCE_PARTS.join(', ')}, got ${got}`);
}

/** Returns the steps that listed timesteps make. */
function stepCounts(timesteps: Timesteps): PerBlock | undefined {
  if (!Array.isArray(timesteps)) return undefined;
  return timesteps.every(Array.isArray) ? timesteps.map((ofBlock) => ofBlock.length) : timesteps.length;
}

/**
 * Checks how samples are made, and spells it out for each block.
 * @throws {ArgumentError} with the first field that is out of range
 */
export function planSettings(config: AcditConfig, blocks: number, request: SettingsRequest): PlannedSettings {
  const { solver, steps, timesteps, guidance } = resolveSettings(config, { ...request, blocks });
  const solvers: readonly SolverChoice[] = [...solversOf(diffusionSettings(config).noiseSchedule), 'tuned'];
  if (!solvers.includes(solver)) {
    throw invalid('solver', `must be one of ${solvers.join(', ')}, got '${printable(solver)}'`);
  }
  const schedule = noiseScheduleOf(config);
  const settings: BlockSettings = {
    solver,
    ...(solver === 'tuned'
      ? tunedSteps(config, request.tuned, blocks, steps, timesteps)
      : plannedSteps(schedule, blocks, steps, timesteps)),
    guidance: plannedGuidance(config, blocks, guidance, request.cfg === undefined ? 'guidance.scale' : 'cfg'),
  };
  const stepsOf = createBlockSteps(schedule, settings);
  const planned = settings.steps.map((_, block) => stepsOf(block));
  const isGuided = ({ scales }: { readonly scales: readonly number[] }): boolean =>
    scales.some((scale) => scale !== 1);
  const { scale, interval } = settings.guidance;
  if (interval && isGuided({ scales: scale }) && !planned.some(isGuided)) {
    const timesteps = new Set([...new Set(planned)].flatMap((ofBlock) => ofBlock.solver.timesteps));
    throw invalid('guidance.interval', guidesNothing(schedule, interval, [...timesteps]));
  }
  return { ...settings, passes: planned.map(blockPasses) };
}

function guidesNothing(
  schedule: NoiseSchedule,
  interval: NonNullable<Guidance['interval']>,
  timesteps: readonly number[],
): string {
  const ratios = timesteps.map((timestep) => logSignalToNoise(noiseLevel(schedule, timestep)));
  const range = [Math.min(...ratios), Math.max(...ratios)].map((ratio) => ratio.toFixed(2)).join(' to ');
  return `must contain the log signal-to-noise ratio of some step, which are ${range}, got ${interval.join(', ')}`;
}

/** Spells out steps, and timesteps if they are listed, for each block. */
function plannedSteps(
  schedule: NoiseSchedule,
  blocks: number,
  steps: PerBlock,
  timesteps: Timesteps,
): Pick<BlockSettings, 'steps' | 'timesteps'> {
  const { trainSteps } = schedule;
  if (!Array.isArray(timesteps)) {
    const spacing = TIMESTEP_SPACINGS.find((name) => name === timesteps);
    if (spacing === undefined) {
      const names = TIMESTEP_SPACINGS.join(', ');
      throw invalid('timesteps', `must be one of ${names}, or a falling list, got '${printable(timesteps)}'`);
    }
    const isCount = (count: number): boolean => Number.isInteger(count) && count >= 1 && count <= trainSteps;
    const range = `must be an integer from 1 to ${trainSteps}`;
    return { timesteps: spacing, steps: perBlock(blocks, 'steps', steps, isCount, range) };
  }
  const lists: readonly (readonly number[])[] = timesteps.some(Array.isArray) ? timesteps : [timesteps];
  if (lists.length !== blocks && lists.length !== 1) {
    throw invalid('timesteps', `must be one list, or one for each of ${blocks} blocks, got ${lists.length}`);
  }
  for (const list of lists) {
    const problem = Array.isArray(list) ? timestepsProblem(list, schedule) : 'must be lists of whole numbers';
    if (problem) throw invalid('timesteps', problem);
  }
  const planned = Array.from({ length: blocks }, (_, block) => lists[block] ?? at(lists, 0));
  const counts = planned.map(({ length }) => length);
  const asked = perBlock(blocks, 'steps', steps, () => true, '');
  if (asked.join() !== counts.join()) {
    const expected = new Set(counts).size === 1 ? at(counts, 0) : counts.join('/');
    throw invalid('steps', `must be ${expected}, as many as there are timesteps, or left out`);
  }
  return { timesteps: planned, steps: counts };
}

/**
 * Spells out the steps of the solver that was fitted to the model. Blocks beyond those that it was trained with, which
 * attend a sliding window, have those of the last one.
 */
function tunedSteps(
  config: AcditConfig,
  tuned: TunedSolver | undefined,
  blocks: number,
  steps: PerBlock,
  timesteps: Timesteps,
): Pick<BlockSettings, 'steps' | 'timesteps' | 'weights'> {
  if (!tuned)
    throw invalid('solver', 'cannot be tuned, since no solver is given that was fitted to the model');
  if (!Array.isArray(tuned.solvers))
    throw invalid('tuned', 'must be a tuned solver, as loadModel returns it');
  const [asked] = [steps].flat();
  const own = tuned.solvers.find((solver) => solver.steps === asked);
  if (!own) {
    const known = tuned.solvers.map((solver) => solver.steps).join(', ');
    throw invalid(
      'steps',
      `must be one of ${known}, which the tuned solver was fitted for, got ${printable(steps)}`,
    );
  }
  const problem = tunedProblem(own, config.blocks, noiseScheduleOf(config));
  if (problem) throw invalid('tuned', problem);
  const paths = Array.from({ length: blocks }, (_, block) => own.blocks[block] ?? at(own.blocks, -1));
  const planned = {
    steps: paths.map((path) => path.timesteps.length),
    timesteps: paths.map((path) => path.timesteps),
    weights: paths.map((path) => path.weights),
  };
  if (typeof steps !== 'number' && steps.join() !== planned.steps.join()) {
    throw invalid('steps', `must be ${asked} for the tuned solver, which takes ${planned.steps.join('/')}`);
  }
  if (timesteps !== 'uniform' && JSON.stringify(timesteps) !== JSON.stringify(planned.timesteps)) {
    throw invalid('timesteps', 'must be left out for the tuned solver, which has its own');
  }
  return planned;
}

/** Spells out the guidance scale for each block. @param name of the scale, for messages */
function plannedGuidance(
  config: AcditConfig,
  blocks: number,
  guidance: Guidance,
  name: string,
): BlockSettings['guidance'] {
  const isScale = (scale: number): boolean => Number.isFinite(scale) && scale >= 0;
  const spelled = perBlock(blocks, name, guidance.scale, isScale, 'must be 0 or more');
  const problem = guidanceProblem(guidance);
  if (problem) throw invalid(`guidance.${problem.part}`, problem.problem);
  const { schedule, interval } = guidance;
  const scale = schedule === 'linear' ? scalesOfBlocks(guidance, blocks, config.blocks) : spelled;
  return { scale, ...(interval && { interval }) };
}

/** Makes the error for a field. `problem` continues a sentence that begins with the field's name. */
export function invalid(name: string, problem: string): ArgumentError {
  return new ArgumentError(`sample: ${name} ${problem}`, { field: name, problem });
}

/**
 * Spells out a value, or one per block, for each block.
 * @param must what the message says of a value that does not fit
 */
export function perBlock(
  blocks: number,
  name: string,
  value: PerBlock,
  fits: (value: number) => boolean,
  must: string,
): number[] {
  if (typeof value !== 'number' && !Array.isArray(value)) {
    throw invalid(name, `must be a number or a list of one per block, got ${printable(value)}`);
  }
  const values: readonly number[] = [value].flat();
  if (values.length !== blocks && values.length !== 1) {
    throw invalid(name, `must be one value, or one for each of ${blocks} blocks, got ${values.length}`);
  }
  for (const one of values) if (!fits(one)) throw invalid(name, `${must}, got ${printable(one)}`);
  return values.length === blocks ? [...values] : Array<number>(blocks).fill(at(values, 0));
}
