/**
 * @file The model as sampling uses it: it predicts the noise of blocks that attend their caches, and appends finished
 * blocks to caches.
 *
 * Requests that are sampled at the same time go through the model together, even at different blocks and steps
 * (continuous batching). Each runs its own loop; when it needs the model, it waits for the next pass, which takes all
 * that wait. So a new request joins at the next step, and one that ends leaves no gap.
 */

import { at } from '../at.ts';
import { DeviceError } from '../errors.ts';
import { yieldToEventLoop } from '../event-loop.ts';
import { type AcditConfig, passConfig } from '../models/acdit/config.ts';
import { layerShare } from '../models/acdit/cost.ts';
import type { Weights } from '../models/acdit/weights.ts';
import type { Device } from '../runtime/device.ts';
import type { Tensor } from '../tensor/tensor.ts';
import type { Cache, CacheBlocks } from './cache.ts';
import { type DeviceEngineOptions, openDeviceEngine } from './device-engine.ts';
import { rowBytes } from './memory.ts';
import {
  type Condition,
  compileModulations,
  type ModulationTable,
  rememberModulations,
} from './modulation-table.ts';
import {
  type Arrangement,
  type Conditioned,
  type PassEngine,
  type PassResult,
  rowCount,
  type Sequence,
} from './pass-engine.ts';
import { SegmentEngine } from './segment-engine.ts';
import { asWeightSource, compileSegments, streamedSegments, type WeightSource } from './segments.ts';

/** What a pass was. */
export interface PassInfo {
  /** Requests in it. */
  readonly sequences: number;
  /** Its rows: blocks in it, counting each sample and guidance branch. */
  readonly groups: number;
  /** Those of its rows that were denoised; the others joined the cache. */
  readonly denoised: number;
  readonly seconds: number;
}

/** How requests share passes. */
export interface BatchingOptions {
  /**
   * Max rows per pass: memory grows with them. A single request with more goes alone. Default: as many as add
   * little memory; on a GPU that keeps no tensors requests take turns.
   */
  readonly groups?: number | undefined;
  /** Gets each pass after it was made. */
  readonly onPass?: ((pass: PassInfo) => void) | undefined;
}

/** A model that is compiled for sampling. */
export type NoisePredictor = Awaited<ReturnType<typeof predictorOf>>;

export interface NoisePredictorOptions extends DeviceEngineOptions {
  /**
   * How concurrent calls share passes (default: as many as add little memory). If it is given, modulations are also kept
   * for later calls.
   */
  readonly batching?: BatchingOptions | undefined;
}

/** Compiles a model for sampling, with its weights. What has no weights is compiled when it is first needed. */
export async function openNoisePredictor(
  device: Device,
  config: AcditConfig,
  weights: Weights | WeightSource,
  { batching, ...options }: NoisePredictorOptions = {},
): Promise<NoisePredictor> {
  const source = asWeightSource(weights);
  if (device.separateMemory) {
    const engine = await openDeviceEngine(device, config, source, options);
    return predictorOf(device, config, source, engine, { batching });
  }
  const { programs, exactWeights } = await compileSegments(device, config, source, options);
  const int8Share = options.precision === 'int8' ? layerShare(config, exactWeights) : undefined;
  const engine = new SegmentEngine(device, config, programs);
  return predictorOf(device, config, source, engine, { batching, int8Share });
}

/**
 * Opens a model for a few passes in float32: it holds no weights but reads those of a layer when their turn comes.
 * @param cpu a device without a memory of its own
 */
export async function openStreamedPredictor(
  cpu: Device,
  config: AcditConfig,
  source: WeightSource,
): Promise<NoisePredictor> {
  const engine = new SegmentEngine(cpu, config, streamedSegments(cpu, config, source));
  return predictorOf(cpu, config, source, engine);
}

async function predictorOf(
  device: Device,
  config: AcditConfig,
  source: WeightSource,
  engine: PassEngine,
  {
    batching,
    int8Share,
  }: { readonly batching?: BatchingOptions | undefined; readonly int8Share?: number | undefined } = {},
) {
  const programs = await compileModulations(device, config, source);
  const compute = batching ? rememberModulations(config, programs.compute) : programs.compute;
  const queue = new PassQueue(engine, batching?.groups ?? sharedRows(device, config), batching?.onPass);
  return {
    config,
    /** With precision int8: the share of multiply-adds with weights that a step does in 8 bits. */
    int8Share,
    /** Returns the modulations of every given condition, computed at once. */
    async modulations(conditions: readonly Condition[]): Promise<ModulationTable> {
      queue.requireOpen();
      return compute(conditions);
    },
    /**
     * Predicts the noise of block number `cache.place`; of all blocks, if the model denoises them together.
     * @param latents (N, B, token size)
     * @param conditions R x N of them, a guidance branch's samples together, as in the official batch
     * @returns (R, N, B, token size)
     */
    async denoise(
      latents: Tensor<'float32'>,
      conditions: readonly Condition[],
      table: ModulationTable,
      cache: Cache,
      signal?: AbortSignal,
    ): Promise<Tensor<'float32'>> {
      const { noise } = await queue.run({ latents, cache, noised: { conditions, table } }, signal);
      return noise;
    },
    /**
     * Returns the cache with the finished block (N, B, token size) after the others.
     * @param finished its conditions, in models without clean copies
     */
    async append(
      latents: Tensor<'float32'>,
      cache: Cache,
      signal?: AbortSignal,
      finished?: Conditioned,
    ): Promise<Cache> {
      const { cache: extended } = await queue.run({ latents, cache, finished }, signal);
      return extended;
    },
    /** Makes a cache of some blocks of others. */
    arrange: (parts: readonly CacheBlocks[], arrangement: Arrangement): Promise<Cache> =>
      engine.arrange(parts, arrangement),
    async dispose(): Promise<void> {
      await queue.dispose();
      await programs.dispose();
    },
  };
}

/** Defaults: bytes of hidden vectors that calls may add by sharing passes, and max rows per pass. */
const SHARED_BYTES = 256e6;
const SHARED_ROWS = 64;

/** Returns the default rows per pass. On a device that copies the cache in each pass, calls take turns. */
export function sharedRows({ separateMemory, keepsTensors }: Device, config: AcditConfig): number {
  if (separateMemory && !keepsTensors) return 1;
  return Math.min(SHARED_ROWS, Math.max(1, Math.floor(SHARED_BYTES / rowBytes(passConfig(config)))));
}

/** A call that waits for a pass. */
interface Waiting {
  readonly sequence: Sequence;
  readonly signal: AbortSignal | undefined;
  resolve(result: PassResult): void;
  reject(error: unknown): void;
}

/**
 * The calls that wait for a pass. If a pass of several would round differently from a pass of one, they take turns, so
 * each call gets the same bits as alone.
 */
export class PassQueue {
  readonly #engine: PassEngine;
  readonly #maxRows: number;
  readonly #onPass: BatchingOptions['onPass'];
  readonly #waiting: Waiting[] = [];
  /** Resolves when nothing waits any more; undefined if nothing does. */
  #running: Promise<void> | undefined;
  #disposed = false;

  constructor(engine: PassEngine, maxRows: number, onPass?: BatchingOptions['onPass']) {
    this.#engine = engine;
    this.#maxRows = maxRows;
    this.#onPass = onPass;
  }

  /**
   * Runs a sequence in the next pass that has room for it.
   * @throws the signal's reason once it is aborted
   * @throws {DeviceError} if the queue was disposed of
   */
  run(sequence: Sequence, signal: AbortSignal | undefined): Promise<PassResult> {
    return new Promise((resolve, reject) => {
      this.#waiting.push({ sequence, signal, resolve, reject });
      this.#running ??= this.#runAll();
    });
  }

  /** @throws {DeviceError} if the queue was disposed of */
  requireOpen(): void {
    if (this.#disposed) throw new DeviceError('sample: the sampler was disposed; create another');
  }

  /** Disposes of the engine after the pass in progress; calls that still wait fail. */
  async dispose(): Promise<void> {
    this.#disposed = true;
    await this.#running;
    await this.#engine.dispose();
  }

  async #runAll(): Promise<void> {
    while (this.#waiting.length > 0) {
      // Requests of the last pass queue their next step now, and new requests come in.
      await yieldToEventLoop();
      const batch = this.#takeBatch();
      try {
        this.requireOpen();
        const shares =
          batch.length > 1 && (await this.#engine.mayShare(batch.map(({ sequence }) => sequence)));
        if (!shares) this.#waiting.unshift(...batch.splice(1));
        if (batch.length > 0) await this.#runPass(batch);
      } catch (error) {
        for (const { signal, reject } of batch) reject(signal?.aborted ? signal.reason : error);
      }
    }
    this.#running = undefined;
  }

  /** Takes the first calls that fit from the queue, at least one. Aborted calls are dropped. */
  #takeBatch(): Waiting[] {
    const batch: Waiting[] = [];
    for (let next = this.#waiting[0]; next; next = this.#waiting[0]) {
      if (next.signal?.aborted) next.reject(next.signal.reason);
      else if (batch.length > 0 && rowsOfCalls([...batch, next]) > this.#maxRows) break;
      else batch.push(next);
      this.#waiting.shift();
    }
    return batch;
  }

  async #runPass(batch: readonly Waiting[]): Promise<void> {
    const started = performance.now();
    const sequences = batch.map(({ sequence }) => sequence);
    const results = await this.#engine.run(sequences, () => stopIfUnwanted(batch));
    const seconds = (performance.now() - started) / 1000;
    const groups = rowsOfCalls(batch);
    const denoised = rowsOfCalls(batch.filter(({ sequence }) => sequence.noised));
    this.#onPass?.({ sequences: batch.length, groups, denoised, seconds });
    for (const [i, { resolve }] of batch.entries()) resolve(at(results, i));
  }
}

/** @throws the reason of a signal, once every call of the batch is aborted */
function stopIfUnwanted(batch: readonly Waiting[]): void {
  if (batch.every(({ signal }) => signal?.aborted)) at(batch, 0).signal?.throwIfAborted();
}

function rowsOfCalls(batch: readonly Waiting[]): number {
  return batch.reduce((sum, { sequence }) => sum + rowCount(sequence), 0);
}
