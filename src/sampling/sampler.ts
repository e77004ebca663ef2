/**
 * @file Generation block by block (paper section 3.3): each block starts as noise and is denoised while it attends
 * the finished blocks through the cache; then it joins them.
 */

import { at, take } from '../at.ts';
import { guidancePasses } from '../diffusion/guidance.ts';
import { addNoise, type NoiseSchedule, noiseLevel } from '../diffusion/noise-schedule.ts';
import { denoise, predictionTarget } from '../diffusion/prediction.ts';
import type { NormalSource } from '../diffusion/solvers/index.ts';
import type { TunedSolver } from '../diffusion/tuned-solver.ts';
import { AcditError, ArgumentError, CheckpointError } from '../errors.ts';
import { attentionOf } from '../models/acdit/attention.ts';
import { type AcditConfig, diffusionSettings, noiseScheduleOf } from '../models/acdit/config.ts';
import { groupLayers, parameters, type Weights } from '../models/acdit/weights.ts';
import type { Device } from '../runtime/device.ts';
import { float32, type Tensor } from '../tensor/tensor.ts';
import { type BlockSteps, createBlockSteps } from './block-steps.ts';
import { type Contexts, createContexts } from './context.ts';
import { finishedConditions, guidedPrediction, planBranches, stepConditions } from './guided.ts';
import { type LoadCheckOptions, openCheckedPredictor } from './load-check.ts';
import { type Condition, conditionKey, type ModulationTable, modulationSize } from './modulation-table.ts';
import type { NoisePredictor, NoisePredictorOptions } from './noise-predictor.ts';
import { type Precision, requirePrecision } from './precision.ts';
import {
  blockOf,
  contextNormals,
  givenBlocks,
  labelsOf,
  planSampling,
  type SamplePlan,
  type SampleRequest,
  solverNoise,
  stackBlocks,
  startingNoise,
} from './request.ts';
import { asWeightSource, type WeightSource } from './segments.ts';
import { placeBlock } from './sketch.ts';

export type { SampleRequest } from './request.ts';

/**
 * What happens while sampling. Latents are (N, B, C) of one block, in the end (N, T, B, C) of all. They belong to the reader,
 * who may change or transfer them.
 */
export type SampleEvent =
  | {
      readonly kind: 'step';
      readonly block: number;
      /** Steps done in this block, and of how many. */
      readonly step: number;
      readonly steps: number;
      /** Passes through the network that the step took: two if it was guided, else one. */
      readonly passes: number;
      readonly latents: Tensor<'float32'>;
      /** What the block would become if the noise predicted in this step were all there is. */
      readonly clean: Tensor<'float32'>;
      /** All blocks are denoised at once: a step has an event for each of them. */
      readonly together?: boolean;
    }
  | {
      readonly kind: 'block';
      readonly block: number;
      readonly latents: Tensor<'float32'>;
      /** The block was not made but given, to be continued. */
      readonly given?: boolean;
    }
  | { readonly kind: 'done'; readonly latents: Tensor<'float32'> };

/** A compiled model, ready to sample from. */
export interface Sampler {
  readonly config: AcditConfig;
  /** Name of the device, and precision, that the model runs on: not those of the options if these compute wrongly. */
  readonly device: string;
  readonly precision: Precision;
  /** With precision int8: the share of multiply-adds with weights that a step does in 8 bits. */
  readonly int8Share?: number | undefined;
  /** The solver that was fitted to the model, if there is one. */
  readonly tuned?: TunedSolver;
  /**
   * Sample; the work is done while the events are read, and stops when they no longer are. Any number of calls may
   * run at once: they share passes or take turns. Each returns what it returns alone, on CPUs to the last bit.
   * @throws {ArgumentError} for a label, step count, guidance or noise that does not fit the model
   * @throws {CheckpointError} if weights turn out to be NaN or infinite
   * @throws the signal's reason once it is aborted
   */
  sample(request: SampleRequest): AsyncGenerator<SampleEvent, void, void>;
  /** Give back its programs' memory. */
  dispose(): Promise<void>;
}

/** What a sampler is made of. */
export interface SamplerOptions extends NoisePredictorOptions, LoadCheckOptions {
  readonly config: AcditConfig;
  /**
   * The weights, or what reads one from a file. The sampler keeps its own copy of the layers, and asks for the
   * modulation's weights again at each run: a file must stay open until the sampler is disposed of.
   */
  readonly weights: Weights | WeightSource;
  /** The solver that was fitted to the model, for the preset `fast`; `loadModel` returns it with the weights. */
  readonly tuned?: TunedSolver | undefined;
  readonly device: Device;
}

/**
 * Prepare a model for sampling. Sampling blocks its thread; `openProcessSampler` from `acdit` samples in another process.
 * Do not terminate a worker thread that samples: ONNX Runtime would abort the whole process.
 * @throws {ArgumentError} if the device cannot run the precision
 */
export async function createSampler(options: SamplerOptions): Promise<Sampler> {
  const { config, device: asked, precision: askedPrecision = 'fp32', weights, tuned, ...rest } = options;
  const own = tuned && { tuned };
  requirePrecision(asked, askedPrecision);
  const source = asWeightSource(weights);
  const placement = { device: asked, precision: askedPrecision };
  const { predictor, device, precision } = await openCheckedPredictor(placement, config, source, rest);
  const schedule = noiseScheduleOf(config);
  return {
    config,
    ...own,
    device: device.name,
    precision,
    int8Share: predictor.int8Share,
    sample(request) {
      const plan = planSampling(config, { ...own, ...request });
      const run = createRun(predictor, source, schedule, plan);
      const { together } = attentionOf(config);
      return disposingOf(run.contexts, together ? sampleTogether(run) : sampleBlocks(run));
    },
    dispose: () => predictor.dispose(),
  };
}

/** Returns the latents (N, T, B, C) that a sampler's events end with. @throws {AcditError} if they end without. */
export async function finalLatents(
  events: AsyncIterable<SampleEvent | { readonly kind: 'wait' | 'start' }>,
): Promise<Tensor<'float32'>> {
  for await (const event of events) if (event.kind === 'done') return event.latents;
  throw new AcditError('the sampler ended without samples');
}

async function* disposingOf<T>(
  contexts: Contexts,
  events: AsyncGenerator<T, void, void>,
): AsyncGenerator<T, void, void> {
  try {
    yield* events;
  } finally {
    contexts.dispose();
  }
}

/** A request in progress. */
interface Run {
  readonly predictor: NoisePredictor;
  readonly contexts: Contexts;
  readonly weights: WeightSource;
  readonly schedule: NoiseSchedule;
  readonly plan: SamplePlan;
  /** Starting noise (N, T, B, C). */
  readonly starting: Tensor<'float32'>;
  /** What stochastic solvers draw from. */
  readonly drawn: NormalSource;
  readonly stepsOf: (block: number) => BlockSteps;
  readonly modulations: ReturnType<typeof modulationSource>;
  readonly signal: AbortSignal | undefined;
}

function createRun(
  predictor: NoisePredictor,
  weights: WeightSource,
  schedule: NoiseSchedule,
  plan: SamplePlan,
): Run {
  const stepsOf = createBlockSteps(schedule, plan);
  return {
    predictor,
    contexts: createContexts(predictor, plan),
    weights,
    schedule,
    plan,
    starting: startingNoise(predictor.config, plan),
    drawn: solverNoise(plan),
    stepsOf,
    modulations: modulationSource(predictor, stepsOf, plan),
    signal: plan.signal,
  };
}

async function* sampleBlocks(run: Run): AsyncGenerator<SampleEvent, void, void> {
  const { contexts, schedule, plan, signal } = run;
  const { blocks } = plan;
  const given = givenBlocks(plan);
  const contextOf = contextMaker(schedule, plan);
  const finished = [...given];
  const append = async (block: number, latents: Tensor<'float32'>): Promise<void> => {
    // Nothing attends the last block.
    if (block === blocks - 1) return;
    const { timesteps } = run.stepsOf(block).solver;
    const tableOf = (conditions: readonly Condition[]) =>
      run.modulations(block, timesteps.length, conditions);
    await contexts.append(contextOf(latents), tableOf, signal);
  };
  for (const [block, latents] of given.entries()) {
    yield { kind: 'block', block, latents: copied(latents), given: true };
    await append(block, latents);
  }
  for (let block = given.length; block < blocks; block++) {
    let latents = blockOf(run.starting, block);
    for await (const step of denoiseSteps(run, block, latents)) {
      latents = step.latents;
      yield { kind: 'step', block, ...step, latents: copied(latents) };
    }
    finished.push(latents);
    yield { kind: 'block', block, latents: copied(latents) };
    await append(block, latents);
  }
  yield { kind: 'done', latents: stackBlocks(finished) };
}

/**
 * Denoises all blocks at once. Given blocks are noised to each step's timestep, so the others attend them as in training (the
 * replacement method of Song et al. 2021, arXiv 2011.13456).
 */
async function* sampleTogether(run: Run): AsyncGenerator<SampleEvent, void, void> {
  const { schedule, plan, starting } = run;
  const [samples, blocks, blockSize, size] = take(starting.shape, 4);
  const given = givenBlocks(plan);
  const noise = given.map((_, block) => blockOf(starting, block));
  const asBlocks = ({ data }: Tensor<'float32'>) => float32([samples, blocks, blockSize, size], data);
  const replaceGiven = ({ data }: Tensor<'float32'>, timestep?: number): void => {
    for (const [block, { data: own }] of given.entries()) {
      const values = timestep === undefined ? own : addNoise(schedule, own, at(noise, block).data, timestep);
      placeBlock(asBlocks({ ...starting, data }), block, float32([samples, blockSize, size], values));
    }
  };
  for (const [block, latents] of given.entries()) {
    yield { kind: 'block', block, latents: copied(latents), given: true };
  }
  let latents = float32([samples, blocks * blockSize, size], starting.data.slice());
  for await (const step of denoiseSteps(run, 0, latents, replaceGiven)) {
    ({ latents } = step);
    const [now, clean] = [asBlocks(latents), asBlocks(step.clean)];
    for (let block = given.length; block < blocks; block++) {
      const own = { latents: blockOf(now, block), clean: blockOf(clean, block) };
      yield { kind: 'step', block, ...step, ...own, together: true };
    }
  }
  replaceGiven(latents);
  const finished = asBlocks(latents);
  for (let block = given.length; block < blocks; block++) {
    yield { kind: 'block', block, latents: blockOf(finished, block) };
  }
  yield { kind: 'done', latents: finished };
}

/**
 * Denoises a block, or all blocks at once, step by step.
 * @param prepare changes the latents before the step at a timestep
 */
async function* denoiseSteps(
  run: Run,
  block: number,
  starting: Tensor<'float32'>,
  prepare?: (latents: Tensor<'float32'>, timestep: number) => void,
): AsyncGenerator<Omit<SampleEvent & { readonly kind: 'step' }, 'kind' | 'block'>, void, void> {
  const { predictor, contexts, schedule, plan, signal } = run;
  const { prediction } = diffusionSettings(predictor.config);
  const { solver, scales } = run.stepsOf(block);
  let latents = starting;
  let state = solver.initialState();
  for (const [index, timestep] of solver.timesteps.entries()) {
    signal?.throwIfAborted();
    prepare?.(latents, timestep);
    const scale = at(scales, index);
    const conditions = stepConditions(predictor.config, labelsOf(plan, block), timestep, scale);
    const table = await run.modulations(block, index, conditions);
    const output = await contexts.denoise(latents, { conditions, table, scale }, signal);
    const level = noiseLevel(schedule, timestep);
    const { clean, epsilon } = denoise(prediction, level, latents.data, guidedPrediction(output, scale));
    const predicted = predictionTarget(solver.predicts, level, clean, epsilon);
    const next = solver.step(index, latents.data, predicted, state, run.drawn);
    latents = float32(latents.shape, next.x);
    state = next.state;
    if (!allFinite(next.x)) {
      throw await notFiniteError(predictor.config, run.weights, { block, step: index, scale });
    }
    yield {
      step: index + 1,
      steps: solver.timesteps.length,
      passes: guidancePasses(scale),
      latents,
      clean: float32(latents.shape, clean),
    };
  }
}

function allFinite(values: Float32Array): boolean {
  return values.every(Number.isFinite);
}

/** Makes the error for a model whose weights are NaN or infinite; undefined if all are finite. Reads all weights. */
export async function brokenWeightsError(
  config: AcditConfig,
  weights: WeightSource,
): Promise<CheckpointError | undefined> {
  const broken: string[] = [];
  for (const name of parameters(config).keys()) if (!allFinite((await weights(name)).data)) broken.push(name);
  if (broken.length === 0) return undefined;
  return new CheckpointError(
    `weights of the model are NaN or infinite, so it cannot be sampled from: ${groupLayers(broken).join(', ')}; ` +
      'use an earlier checkpoint',
  );
}

/** Makes the error for latents that became NaN or infinite. Reads all weights to see whether they are the reason. */
async function notFiniteError(
  config: AcditConfig,
  weights: WeightSource,
  { block, step, scale }: { readonly block: number; readonly step: number; readonly scale: number },
): Promise<AcditError> {
  const broken = await brokenWeightsError(config, weights);
  if (broken) return broken;
  return new ArgumentError(
    `sample: latents became NaN or infinite in block ${block + 1}, step ${step + 1}, though all weights are finite; ` +
      `try another solver, more steps or less guidance than ${scale}`,
  );
}

/** A tensor that the reader of an event may change or transfer without changing the sample. */
function copied({ shape, data }: Tensor<'float32'>): Tensor<'float32'> {
  return float32(shape, data.slice());
}

/** Returns what makes the context of a finished block (N, B, C) that others attend: the block, noised as the plan says. */
export function contextMaker(
  schedule: NoiseSchedule,
  plan: SamplePlan,
): (latents: Tensor<'float32'>) => Tensor<'float32'> {
  const { contextNoise: timestep } = plan;
  if (timestep === 0) return (latents) => latents;
  const drawn = contextNormals(plan);
  return ({ shape, data }) => float32(shape, addNoise(schedule, data, drawn.randn(data.length), timestep));
}

/** Max bytes of modulations held at a time. */
const TABLE_BYTES = 256e6;

/**
 * Gives each step the table with its modulations: one table for the whole run where that fits in memory, else one
 * for as many steps as do.
 */
function modulationSource(
  predictor: NoisePredictor,
  stepsOf: (block: number) => BlockSteps,
  plan: SamplePlan,
): (block: number, step: number, conditions: readonly Condition[]) => Promise<ModulationTable> {
  const capacity = Math.floor(TABLE_BYTES / 4 / modulationSize(predictor.config));
  const { copies, together } = attentionOf(predictor.config);
  const [ofBranches, branches] = [!copies && !together, planBranches(plan)];
  const upcoming = function* (fromBlock: number, fromStep: number): Generator<Condition[]> {
    for (let block = fromBlock; block < plan.blocks; block++) {
      const { solver, scales } = stepsOf(block);
      for (const [index, timestep] of solver.timesteps.entries()) {
        if (block === fromBlock && index < fromStep) continue;
        yield stepConditions(predictor.config, labelsOf(plan, block), timestep, at(scales, index));
      }
      if (ofBranches)
        yield branches.flatMap((branch) => finishedConditions(predictor.config, plan, block, branch));
    }
  };
  let table: ModulationTable | undefined;
  return async (block, step, conditions) => {
    if (table && conditions.every(table.has)) return table;
    const wanted = new Map<string, Condition>();
    for (const group of upcoming(block, step)) {
      const added = group.filter((condition) => !wanted.has(conditionKey(condition)));
      if (wanted.size > 0 && wanted.size + added.length > capacity) break;
      for (const condition of added) wanted.set(conditionKey(condition), condition);
    }
    table = await predictor.modulations([...wanted.values()]);
    return table;
  };
}
