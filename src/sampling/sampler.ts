/**
 * @file Generation block by block (paper section 3.3): each block starts as noise and is denoised while it attends
 * the finished blocks through the cache; then it joins them.
 */

import { at } from '../at.ts';
import { guidancePasses } from '../diffusion/guidance.ts';
import { addNoise, type NoiseSchedule, noiseLevel } from '../diffusion/noise-schedule.ts';
import { denoise, predictionTarget } from '../diffusion/prediction.ts';
import type { TunedSolver } from '../diffusion/tuned-solver.ts';
import { AcditError, ArgumentError, CheckpointError } from '../errors.ts';
import { type AcditConfig, diffusionSettings, noiseScheduleOf } from '../models/acdit/config.ts';
import { groupLayers, parameters, type Weights } from '../models/acdit/weights.ts';
import type { Device } from '../runtime/device.ts';
import { float32, type Tensor } from '../tensor/tensor.ts';
import { type BlockSteps, createBlockSteps } from './block-steps.ts';
import { Context } from './context.ts';
import { guidedPrediction, stepConditions } from './guided.ts';
import { type LoadCheckOptions, openCheckedPredictor } from './load-check.ts';
import { type Condition, conditionKey, type ModulationTable, modulationSize } from './modulation-table.ts';
import type { NoisePredictor, NoisePredictorOptions } from './noise-predictor.ts';
import { type Precision, requirePrecision } from './precision.ts';
import {
  blockOf,
  contextNoise,
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
      const context = new Context(predictor, plan);
      return disposingOf(context, sampleBlocks(predictor, context, source, schedule, plan, request.signal));
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
  context: Context,
  events: AsyncGenerator<T, void, void>,
): AsyncGenerator<T, void, void> {
  try {
    yield* events;
  } finally {
    context.dispose();
  }
}

async function* sampleBlocks(
  predictor: NoisePredictor,
  context: Context,
  weights: WeightSource,
  schedule: NoiseSchedule,
  plan: SamplePlan,
  signal?: AbortSignal,
): AsyncGenerator<SampleEvent, void, void> {
  const { blocks } = plan;
  const given = givenBlocks(plan);
  const starting = startingNoise(predictor.config, plan);
  const drawn = solverNoise(plan);
  const { prediction } = diffusionSettings(predictor.config);
  const contextOf = contextMaker(predictor.config, schedule, plan);
  const stepsOf = createBlockSteps(schedule, plan);
  const modulations = modulationSource(predictor, stepsOf, plan);
  const finished = [...given];
  for (const [block, latents] of given.entries()) {
    yield { kind: 'block', block, latents: copied(latents), given: true };
    await context.append(contextOf(latents), signal);
  }
  for (let block = given.length; block < blocks; block++) {
    const { solver, scales } = stepsOf(block);
    let latents = blockOf(starting, block);
    let state = solver.initialState();
    for (const [index, timestep] of solver.timesteps.entries()) {
      signal?.throwIfAborted();
      const scale = at(scales, index);
      const conditions = stepConditions(predictor.config, labelsOf(plan, block), timestep, scale);
      const table = await modulations(block, index, conditions);
      const output = await predictor.denoise(latents, conditions, table, context.cache, signal);
      const level = noiseLevel(schedule, timestep);
      const { clean, epsilon } = denoise(prediction, level, latents.data, guidedPrediction(output, scale));
      const predicted = predictionTarget(solver.predicts, level, clean, epsilon);
      const next = solver.step(index, latents.data, predicted, state, drawn);
      latents = float32(latents.shape, next.x);
      state = next.state;
      if (!allFinite(next.x)) {
        throw await notFiniteError(predictor.config, weights, { block, step: index, scale });
      }
      yield {
        kind: 'step',
        block,
        step: index + 1,
        steps: solver.timesteps.length,
        passes: guidancePasses(scale),
        latents: copied(latents),
        clean: float32(latents.shape, clean),
      };
    }
    finished.push(latents);
    yield { kind: 'block', block, latents: copied(latents) };
    // Nothing attends the last block.
    if (block < blocks - 1) await context.append(contextOf(latents), signal);
  }
  yield { kind: 'done', latents: stackBlocks(finished) };
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

/** Returns what makes the context of a finished block (N, B, C) that others attend: the block, noised as in training. */
export function contextMaker(
  config: AcditConfig,
  schedule: NoiseSchedule,
  plan: SamplePlan,
): (latents: Tensor<'float32'>) => Tensor<'float32'> {
  const { contextNoise: timestep } = diffusionSettings(config);
  if (timestep === 0) return (latents) => latents;
  const drawn = contextNoise(plan);
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
  const upcoming = function* (fromBlock: number, fromStep: number): Generator<Condition[]> {
    for (let block = fromBlock; block < plan.blocks; block++) {
      const { solver, scales } = stepsOf(block);
      for (const [index, timestep] of solver.timesteps.entries()) {
        if (block === fromBlock && index < fromStep) continue;
        yield stepConditions(predictor.config, labelsOf(plan, block), timestep, at(scales, index));
      }
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
