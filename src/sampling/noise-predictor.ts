/**
 * @file The model as sampling uses it: it predicts the noise of blocks that attend their caches, and appends finished
 * blocks to caches. Calls that are made at the same time share passes through an engine.
 */

import { DeviceError } from '../errors.ts';
import type { AcditConfig } from '../models/acdit/config.ts';
import type { Weights } from '../models/acdit/weights.ts';
import type { Device } from '../runtime/device.ts';
import { createSemaphore } from '../semaphore.ts';
import type { Tensor } from '../tensor/tensor.ts';
import { type BatchingOptions, PassQueue, sharedRows } from './batching.ts';
import type { KeyValueCache } from './cache.ts';
import {
  type Condition,
  compileModulations,
  type ModulationTable,
  rememberModulations,
} from './modulation-table.ts';
import type { PassEngine } from './pass-engine.ts';
import { openSegmentEngine } from './segment-engine.ts';
import { type CompileOptions, type WeightSource, weightsInMemory } from './segments.ts';
import { stepsWhole, WholeStepEngine } from './whole-step.ts';

export interface NoisePredictor {
  readonly config: AcditConfig;
  /** Returns the modulations of every given condition, computed at once. */
  modulations(conditions: readonly Condition[]): Promise<ModulationTable>;
  /**
   * Predicts the noise of block number `cache.blocks`.
   * @param latents (N, B, token size)
   * @param conditions R x N of them, a guidance branch's samples together, as in the official batch
   * @returns (R, N, B, token size)
   */
  denoise(
    latents: Tensor<'float32'>,
    conditions: readonly Condition[],
    table: ModulationTable,
    cache: KeyValueCache,
    signal?: AbortSignal,
  ): Promise<Tensor<'float32'>>;
  /** Returns the cache with the finished block (N, B, token size) after the others. */
  append(latents: Tensor<'float32'>, cache: KeyValueCache, signal?: AbortSignal): Promise<KeyValueCache>;
  /** Drops the oldest block of a sliding cache; the others take the positions of those before them. */
  slide(cache: KeyValueCache): Promise<KeyValueCache>;
  dispose(): Promise<void>;
}

export interface NoisePredictorOptions extends CompileOptions {
  /** How concurrent calls share passes. Given, modulations are also kept for later calls. */
  readonly batching?: BatchingOptions | undefined;
}

/** Compiles a model for sampling: its segments with the weights. Attention is compiled when it is first needed. */
export async function openNoisePredictor(
  device: Device,
  config: AcditConfig,
  weights: Weights | WeightSource,
  { batching, ...options }: NoisePredictorOptions = {},
): Promise<NoisePredictor> {
  const source = typeof weights === 'function' ? weights : weightsInMemory(weights);
  const programs = await compileModulations(device, config, source);
  const compute = batching ? rememberModulations(config, programs.compute) : programs.compute;
  const engine = closable(await openEngine(device, config, source, options));
  const queue = new PassQueue(engine, batching?.groups ?? sharedRows(device, config), batching?.onPass);
  return {
    config,
    async modulations(conditions) {
      engine.requireOpen();
      return compute(conditions);
    },
    async denoise(latents, conditions, table, cache, signal) {
      const { noise } = await queue.run({ latents, cache, noised: { conditions, table } }, signal);
      return noise;
    },
    async append(latents, cache, signal) {
      const { cache: extended } = await queue.run({ latents, cache }, signal);
      return extended;
    },
    slide: (cache) => engine.slide(cache),
    async dispose() {
      await engine.dispose();
      await programs.dispose();
    },
  };
}

async function openEngine(
  device: Device,
  config: AcditConfig,
  source: WeightSource,
  options: CompileOptions,
): Promise<PassEngine> {
  const segments = await openSegmentEngine(device, config, source, options);
  return stepsWhole(device, config) ? new WholeStepEngine(device, config, source, segments) : segments;
}

/** An engine whose work does not overlap, and which refuses work once it is disposed of. */
function closable(engine: PassEngine): PassEngine & { requireOpen(): void } {
  const exclusively = createSemaphore(1);
  let disposed = false;
  const requireOpen = (): void => {
    if (disposed) throw new DeviceError('sample: the sampler was disposed; create another');
  };
  const whenOpen = <Result>(work: () => Promise<Result>): Promise<Result> =>
    exclusively(() => {
      requireOpen();
      return work();
    });
  return {
    requireOpen,
    run: (sequences, mayStop) => whenOpen(() => engine.run(sequences, mayStop)),
    mayShare: (sequences) => whenOpen(() => engine.mayShare(sequences)),
    slide: (cache) => engine.slide(cache),
    dispose() {
      disposed = true;
      return exclusively(() => engine.dispose());
    },
  };
}
