/** @file Samples whose blocks are denoised by any solver, in batches, each block after the finished ones of its sample. */

import { guidancePasses, scaleAt } from '../diffusion/guidance.ts';
import { logSignalToNoise, type NoiseSchedule, noiseLevel } from '../diffusion/noise-schedule.ts';
import { denoise } from '../diffusion/prediction.ts';
import { ArgumentError, type CheckpointError } from '../errors.ts';
import { diffusionSettings } from '../models/acdit/config.ts';
import { rowsOf } from '../models/acdit/weights.ts';
import { cacheBytes } from '../sampling/cache.ts';
import { type Contexts, createContexts } from '../sampling/context.ts';
import { guidedPrediction, stepConditions } from '../sampling/guided.ts';
import type { NoisePredictor } from '../sampling/noise-predictor.ts';
import { blockOf, labelsOf, type SamplePlan, startingNoise } from '../sampling/request.ts';
import { brokenWeightsError, contextMaker } from '../sampling/sampler.ts';
import type { WeightSource } from '../sampling/segments.ts';
import { joinAxis } from '../tensor/axes.ts';
import { float32, type Tensor } from '../tensor/tensor.ts';

/** Max bytes of keys and values that are kept; beyond it they are computed again for each batch of each step. */
const CACHE_BYTES = 1e9;

/** How samples are denoised. */
export interface SamplesOptions {
  readonly predictor: NoisePredictor;
  /** The model's weights, to see whether they are the reason if predictions are NaN. */
  readonly weights: WeightSource;
  readonly schedule: NoiseSchedule;
  /** Samples per pass. */
  readonly batch: number;
  readonly signal?: AbortSignal | undefined;
}

/** The samples of a plan, at the block that is next. Values of all samples (N, B, C) follow each other. */
export class BlockSamples {
  readonly count: number;
  readonly #plan: SamplePlan;
  readonly #options: SamplesOptions;
  readonly #noise: Tensor<'float32'>;
  readonly #contextOf: ReturnType<typeof contextMaker>;
  /** What later blocks attend of the finished ones, of all samples. */
  readonly #contexts: Tensor<'float32'>[] = [];
  /** One per batch; undefined if they are not kept. */
  #caches: (Contexts | undefined)[];

  constructor(plan: SamplePlan, options: SamplesOptions) {
    const { config } = options.predictor;
    this.#plan = plan;
    this.#options = options;
    this.#noise = startingNoise(config, plan);
    this.#contextOf = contextMaker(options.schedule, plan);
    this.count = plan.labels.length;
    const batches = Math.ceil(this.count / options.batch);
    this.#caches = Array.from({ length: batches }, (_, batch) => this.#createContexts(batch));
  }

  /** Returns the starting noise of a block. */
  start(block: number): Float32Array {
    return blockOf(this.#noise, block).data;
  }

  /**
   * Predicts the clean samples of the next block, with guidance.
   * @throws {CheckpointError} if the weights are NaN; {ArgumentError} if only the predictions are.
   */
  async predict(x: Float32Array, timestep: number): Promise<Float32Array> {
    const parts: Tensor<'float32'>[] = [];
    for (const [batch] of this.#caches.entries()) {
      this.#options.signal?.throwIfAborted();
      parts.push(await this.#predictBatch(batch, this.#rows(batch, this.#tensor(x)), timestep));
    }
    const { data } = joinAxis(parts, 0);
    if (!data.every(Number.isFinite)) throw await this.#notFiniteError(timestep);
    return data;
  }

  /** Returns the passes that a prediction takes. */
  passes(timestep: number): number {
    return guidancePasses(this.#scale(timestep));
  }

  /** Continues after the next block, which is `clean`. */
  async finish(clean: Float32Array): Promise<void> {
    const { predictor } = this.#options;
    const context = this.#contextOf(this.#tensor(clean));
    // Nothing attends the last block.
    const isAttended = this.#contexts.length < this.#plan.blocks - 1;
    for (const [batch, cache] of this.#caches.entries()) {
      if (cache && isAttended) await this.#append(cache, batch, context);
    }
    this.#contexts.push(context);
    if (this.count * cacheBytes(predictor.config, this.#contexts.length) <= CACHE_BYTES) return;
    for (const cache of this.#caches) cache?.dispose();
    this.#caches = this.#caches.map(() => undefined);
  }

  async #predictBatch(
    batch: number,
    latents: Tensor<'float32'>,
    timestep: number,
  ): Promise<Tensor<'float32'>> {
    const { predictor, schedule, signal } = this.#options;
    const { config } = predictor;
    const labels = labelsOf(this.#plan, this.#contexts.length).slice(...this.#range(batch));
    const scale = this.#scale(timestep);
    const conditions = stepConditions(config, labels, timestep, scale);
    const table = await predictor.modulations(conditions);
    const cache = await this.#cacheOf(batch);
    const output = await cache.denoise(latents, { conditions, table, scale }, signal);
    if (cache !== this.#caches[batch]) cache.dispose();
    const { prediction } = diffusionSettings(config);
    const level = noiseLevel(schedule, timestep);
    const { clean } = denoise(prediction, level, latents.data, guidedPrediction(output, scale));
    return float32(latents.shape, clean);
  }

  async #cacheOf(batch: number): Promise<Contexts> {
    const kept = this.#caches[batch];
    if (kept) return kept;
    const cache = this.#createContexts(batch);
    for (const context of this.#contexts) await this.#append(cache, batch, context);
    return cache;
  }

  #createContexts(batch: number): Contexts {
    return createContexts(this.#options.predictor, this.#plan, this.#range(batch));
  }

  #append(cache: Contexts, batch: number, context: Tensor<'float32'>): Promise<void> {
    const { predictor, signal } = this.#options;
    return cache.append(this.#rows(batch, context), predictor.modulations, signal);
  }

  #scale(timestep: number): number {
    const level = noiseLevel(this.#options.schedule, timestep);
    return scaleAt(this.#plan.guidance, this.#contexts.length, logSignalToNoise(level));
  }

  #range(batch: number): readonly [first: number, last: number] {
    const first = batch * this.#options.batch;
    return [first, Math.min(first + this.#options.batch, this.count)];
  }

  #rows(batch: number, values: Tensor<'float32'>): Tensor<'float32'> {
    return rowsOf(values, ...this.#range(batch));
  }

  #tensor(values: Float32Array): Tensor<'float32'> {
    return float32(blockOf(this.#noise, 0).shape, values);
  }

  async #notFiniteError(timestep: number): Promise<CheckpointError | ArgumentError> {
    const broken = await brokenWeightsError(this.#options.predictor.config, this.#options.weights);
    const where = `block ${this.#contexts.length + 1} at timestep ${timestep}`;
    return (
      broken ??
      new ArgumentError(
        `tune: predictions became NaN or infinite in ${where}, though all weights are finite; ` +
          `try less guidance than ${this.#scale(timestep)}`,
      )
    );
  }
}
