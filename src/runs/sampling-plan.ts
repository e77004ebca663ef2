/** @file What all runs that sample take, checked before the weights are read. */

import type { StoredModel } from '../checkpoints/stored-model.ts';
import {
  type Decoder,
  localDecoder,
  pixelDecoder,
  processDecoder,
  requireAutoencoder,
} from '../decoding/decoder.ts';
import type { Guidance } from '../diffusion/guidance.ts';
import type { SolverChoice } from '../diffusion/solvers/index.ts';
import type { TunedSolver } from '../diffusion/tuned-solver.ts';
import { invalidOption } from '../invalid-option.ts';
import { distinct } from '../io/quantities.ts';
import { type AcditConfig, type Preset, tokenSize } from '../models/acdit/config.ts';
import { defined } from '../records.ts';
import type { Device } from '../runtime/device.ts';
import { defaultPrecision, type Precision, requirePrecision } from '../sampling/precision.ts';
import {
  DEFAULT_SEED,
  passesOfBlocks,
  planSampling,
  type SamplePlan,
  type SampleRequest,
} from '../sampling/request.ts';
import {
  type PerBlock,
  resolvePreset,
  resolveSettings,
  type SamplingSettings,
  type Timesteps,
} from '../sampling/settings.ts';
import type { Tensor } from '../tensor/tensor.ts';
import {
  type BatchedRequest,
  batchRequests,
  defaultBatch,
  type RanOn,
  type SamplerSource,
} from './batches.ts';
import { requireSamplingMemory } from './checks.ts';
import type { LabelOptions } from './chosen-labels.ts';
import { decoderPath } from './model-path.ts';
import { productSpeeds } from './product-speed.ts';
import type { ActiveContext, Reporter, RunContext } from './reporter.ts';

/** Options of every run that samples. Those that are left out have the command line's defaults. */
export interface SamplingOptions extends LabelOptions, RunContext, SamplerSource {
  /** Defaults of the rest: `exact`, or `fast`, those of the solver that was fitted to the model (default: the model's own). */
  readonly preset?: Preset | undefined;
  /** Solver steps, for all blocks or per block (default: the preset's; exact: 25). */
  readonly steps?: PerBlock | undefined;
  /** Where the network is evaluated: spaced uniformly or in log signal-to-noise, or listed (default: the preset's; exact: uniform). */
  readonly timesteps?: Timesteps | undefined;
  /** Guidance scale at all noise levels, for all blocks or per block (default: the model's own guidance). */
  readonly cfg?: PerBlock | undefined;
  /** Guidance by noise level and block, instead of `cfg` (default: what it leaves out is the model's own). */
  readonly guidance?: Partial<Guidance> | undefined;
  /** `tuned` is the one that `acdit tune` fitted to the model. */
  readonly solver?: SolverChoice | undefined;
  /** Random seed of the noise (default: 42). */
  readonly seed?: number | undefined;
  /** Blocks of a sample (default: the model's own). */
  readonly blocks?: number | undefined;
  /** Finished blocks that each block attends to (default: all that were trained). */
  readonly window?: number | undefined;
  /** Timestep up to which finished blocks are noised before others attend them (default: as in training). */
  readonly contextNoise?: number | undefined;
  /** Batch size (default: 16, in an npz file 32, fewer if the cache would exceed 1 GB). */
  readonly batch?: number | undefined;
  /** Autoencoder of a model of latents: a folder, or a name on the hub (default: that of the released models). */
  readonly vae?: string | undefined;
  /** Replace output files that exist (default: false). */
  readonly overwrite?: boolean | undefined;
}

/** How samples were made. */
export interface SamplingRecord
  extends Pick<SamplingSettings, 'preset' | 'steps' | 'timesteps' | 'solver'>,
    Required<Pick<SampleRequest, 'seed'>> {
  /** The guidance scale. */
  readonly cfg: PerBlock;
  /** The guidance, if it is not the same at all noise levels, or follows a schedule. */
  readonly guidance?: Guidance;
  /** Timestep up to which finished blocks were noised, if it was chosen. */
  readonly contextNoise?: number;
  /** Passes through the network that each block of a sample takes. */
  readonly passes: readonly number[];
  /** Name of the device, and precision, that were used: others than asked for, if these compute wrongly. */
  readonly device: string;
  readonly precision: Precision;
  /** With precision int8: the share of multiply-adds with weights that a step does in 8 bits. */
  readonly int8Share?: number;
  readonly seconds: number;
}

/** What depends on where the samples go. */
export interface Purpose {
  /** Only throughput counts, since nobody waits for the first sample. */
  readonly throughput?: boolean;
  /** All latents are kept until the end. */
  readonly keepsLatents?: boolean;
  /** Starting noise (N, T, B, C), instead of the seed's. */
  readonly noise?: Tensor<'float32'> | undefined;
}

/** Returns how a plan's samples are made. */
export function settingsOf(
  { request, first }: Pick<SamplingPlan, 'request' | 'first'>,
  { device, precision, int8Share }: RanOn,
): Omit<SamplingRecord, 'seconds'> {
  const { preset, steps, solver, seed, contextNoise } = request;
  const timesteps = solver === 'tuned' ? first.timesteps : request.timesteps;
  const share = int8Share !== undefined && { int8Share };
  const settings = {
    preset,
    steps,
    timesteps,
    ...guidanceRecord(request),
    solver,
    seed,
    ...defined({ contextNoise }),
  };
  return { ...settings, passes: passesOfBlocks(first), device, precision, ...share };
}

/** Returns guidance as records hold it: the scale alone, if that is all there is. Guidance that means the same is the same. */
export function guidanceRecord({
  guidance: { scale, interval, schedule },
}: Pick<SamplingSettings, 'guidance'>) {
  const rest = { ...(interval && { interval }), ...(schedule === 'linear' && { schedule }) };
  return { cfg: scale, ...(Object.keys(rest).length > 0 && { guidance: { scale, ...rest } }) };
}

/** Says so if 8 bits, which were asked for, are slower than float32 on this processor. */
export async function noteSlowPrecision(
  { model: { config }, device, precision }: SamplerSource,
  report: Reporter,
): Promise<void> {
  if (precision !== 'int8') return;
  const [fp32, int8] = await productSpeeds(device, ['fp32', 'int8'], config);
  if (int8 >= fp32) return;
  const [slow, quick] = [int8, fp32].map((speed) => (speed / 1e9).toFixed(1));
  report.note(
    `int8 is slower than fp32 here: a product of this model makes ${slow} instead of ${quick} GMAC per second`,
  );
}

/** A run's context and request, with all defaults filled in. */
export interface SamplingPlan extends ActiveContext, Pick<SamplingOptions, 'model' | 'device'> {
  readonly request: SamplingSettings &
    Required<Pick<BatchedRequest, 'seed' | 'blocks'>> &
    Omit<BatchedRequest, keyof SamplingSettings>;
  /** The first batch, block by block. */
  readonly first: SamplePlan;
  readonly precision: Precision;
  readonly onFallback: NonNullable<SamplerSource['onFallback']>;
}

/**
 * Plans a run as the sampler will.
 * @param labels one per sample.
 * @throws {ArgumentError} for the first option that does not fit the model, or if a batch needs too much memory.
 */
export async function planRun(
  { model, device, window, contextNoise, ...options }: SamplingOptions,
  labels: readonly PerBlock[],
  { throughput = false, keepsLatents = false, noise }: Purpose,
  context: ActiveContext,
): Promise<SamplingPlan> {
  const { config } = model;
  const {
    blocks = config.blocks,
    batch = defaultBatch(config, { throughput }),
    precision = defaultPrecision(device, model.precision),
  } = options;
  requirePrecision(device, precision);
  if (!Number.isInteger(batch) || batch < 1) {
    throw invalidOption('batch', `must be a whole number of at least 1, got ${batch}`);
  }
  const isFast = resolvePreset(config, options) === 'fast';
  const tuned = isFast || options.solver === 'tuned' ? await readSolver(model, context) : undefined;
  const request = {
    labels,
    ...resolveSettings(config, { ...options, tuned }),
    ...(tuned && { tuned }),
    seed: options.seed ?? DEFAULT_SEED,
    blocks,
    batch,
    ...defined({ window, contextNoise }),
    ...(noise && {
      noise: requireNoise(noise, [labels.length, blocks, config.blockSize, tokenSize(config)]),
    }),
  };
  const first = planSampling(config, { ...request, ...batchRequests(request).next().value });
  const { steps, guidance } = first;
  const extent = {
    batch: first.labels.length,
    steps: Math.max(...steps),
    guided: guidance.scale.some((scale) => scale !== 1),
    blocks,
    window,
    kept: keepsLatents ? labels.length : undefined,
  };
  if (!device.separateMemory) requireSamplingMemory(config, { ...extent, precision });
  if (isFast && options.preset === undefined) context.report.say(describeFast(first));
  await noteSlowPrecision({ model, device, precision: options.precision }, context.report);
  return {
    ...context,
    model,
    device,
    request,
    first,
    precision,
    onFallback(fallback) {
      context.report.warn(fallback.message);
      if (!fallback.device.separateMemory) requireSamplingMemory(config, { ...extent, ...fallback });
    },
  };
}

/** @throws {AcditError} if no solver was fitted to the model, or what `solver.json` holds is damaged or another model's. */
async function readSolver({ tunedSolver }: StoredModel, { signal }: ActiveContext): Promise<TunedSolver> {
  if (tunedSolver) return tunedSolver(signal);
  throw invalidOption('solver', 'cannot be tuned, since this model is not in a file of this machine');
}

/** Describes what the preset `fast` does, where it is a default that was not asked for. */
function describeFast({ steps, passes }: SamplePlan): string {
  const [stepsText, passesText] = [steps, passes].map(distinct);
  return `preset fast: ${stepsText} steps of the tuned solver, ${passesText} passes per block; --preset exact uses the official sampler`;
}

function requireNoise(noise: Tensor<'float32'>, expected: readonly number[]): Tensor<'float32'> {
  if (noise.shape.join() === expected.join()) return noise;
  throw invalidOption(
    'noise',
    `must have shape [${expected}] (samples, blocks, tokens, token size), got [${noise.shape}]`,
  );
}

/**
 * Returns the folder of the autoencoder that decodes a run's latents; undefined for a model of pixels.
 * @param otherwise what else can be done without an autoencoder, for the message.
 * @throws {AcditError} if there is none, or it is not the model's.
 */
export async function findAutoencoder(
  { model, vae: named, report, signal }: SamplingOptions,
  otherwise?: string,
): Promise<string | undefined> {
  const { config } = model;
  if (config.space === 'pixels') {
    if (named === undefined) return undefined;
    throw invalidOption('vae', 'decodes latents, but this model makes pixels; leave it out');
  }
  const vae = await decoderPath(model, named, { report, signal }, otherwise);
  await requireAutoencoder(config, vae);
  return vae;
}

/**
 * Opens what decodes a run's latents. For several batches, or videos of several blocks, it is a process, which works while
 * sampling continues.
 */
export function openDecoder(
  config: AcditConfig,
  { labels, batch }: BatchedRequest,
  vae: string | undefined,
  { threads }: Device,
  signal: AbortSignal,
): Decoder {
  if (vae === undefined) return pixelDecoder(config);
  const continues = labels.length > batch || config.frames > 1;
  return (continues ? processDecoder : localDecoder)({ config, vae, threads }, signal);
}
