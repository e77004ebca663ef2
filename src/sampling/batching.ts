/**
 * @file Continuous batching: requests that are sampled at the same time go through the trunk together, whatever their
 * blocks and steps. Each runs its own loop; where it calls the trunk, it waits for the next pass, which takes all that
 * wait. So a new request joins at the next step, and one that ends leaves no gap.
 */

import { yieldToEventLoop } from '../event-loop.ts';
import type { AcditConfig } from '../models/acdit/config.ts';
import type { Device } from '../runtime/device.ts';
import { groupBytes } from './memory.ts';
import { type Condition, conditionKey, type ModulationTable, modulationSize } from './modulation-table.ts';
import type { AppendJob, DenoiseJob } from './pass-parts.ts';
import type { PassResults, Trunk } from './trunk.ts';

/** What a pass was. */
export interface PassInfo {
  /** Requests in it. */
  readonly sequences: number;
  /** Blocks in it, counting each sample and guidance branch. */
  readonly groups: number;
  readonly seconds: number;
}

/** How requests share passes. */
export interface BatchingOptions {
  /**
   * Max groups per pass: memory grows with them. A single request with more goes alone. Default: as many as add
   * little memory; on a GPU requests take turns.
   */
  readonly groups?: number | undefined;
  /** Gets each pass after it was made. */
  readonly onPass?: ((pass: PassInfo) => void) | undefined;
}

/** Defaults: bytes of hidden vectors that calls may add by sharing passes, and max groups per pass. */
const SHARED_BYTES = 256e6;
const SHARED_GROUPS = 64;

/**
 * Returns the default groups per pass. On a device with separate memory, the pass of one call is one program and goes
 * alone.
 */
export function sharedGroups({ separateMemory }: Device, config: AcditConfig): number {
  if (separateMemory) return 1;
  return Math.min(SHARED_GROUPS, Math.max(1, Math.floor(SHARED_BYTES / groupBytes(config))));
}

/** The jobs of a pass. */
interface Pass {
  readonly denoising: DenoiseJob[];
  readonly appending: AppendJob[];
}

/** Adds a job to a pass; returns a function that finds its result. */
type Join<Result> = (pass: Pass) => (results: PassResults) => Result;

interface Waiting {
  readonly groups: number;
  readonly signal: AbortSignal | undefined;
  /** Adds the job to a pass; returns a function that answers the call. */
  join(pass: Pass): (results: PassResults) => void;
  reject(error: unknown): void;
}

/**
 * Makes a trunk whose `denoise` and `append` share passes with other waiting calls. If a pass of several
 * would round differently from a pass of one, they take turns instead, so each call gets the same bits as alone.
 */
export function batchTrunk(
  trunk: Trunk,
  { groups: most, onPass }: BatchingOptions & { groups: number },
): Trunk {
  const waiting: Waiting[] = [];
  let running = false;

  function wait<Result>(
    groups: number,
    signal: AbortSignal | undefined,
    join: Join<Result>,
  ): Promise<Result> {
    return new Promise((resolve, reject) => {
      waiting.push({
        groups,
        signal,
        reject,
        join(pass) {
          const find = join(pass);
          return (results) => resolve(find(results));
        },
      });
      if (!running) void run();
    });
  }

  async function run(): Promise<void> {
    running = true;
    while (waiting.length > 0) {
      // Requests of the last pass queue their next step now, and new requests come in.
      await yieldToEventLoop();
      const batch = takeBatch(waiting, most);
      try {
        if (batch.length > 1 && !(await mayShare(batch))) waiting.unshift(...batch.splice(1));
        if (batch.length > 0) await runPass(batch);
      } catch (error) {
        for (const { signal, reject } of batch) reject(signal?.aborted ? signal.reason : error);
      }
    }
    running = false;
  }

  function mayShare(batch: readonly Waiting[]): Promise<boolean> {
    const { denoising, appending } = joined(batch);
    return trunk.mayShare(denoising, appending);
  }

  async function runPass(batch: readonly Waiting[]): Promise<void> {
    const { denoising, appending, answers } = joined(batch);
    const started = performance.now();
    const results = await trunk.pass(denoising, appending, () => stopIfUnwanted(batch));
    const seconds = (performance.now() - started) / 1000;
    onPass?.({ sequences: batch.length, groups: groupsOf(batch), seconds });
    for (const answer of answers) answer(results);
  }

  return {
    ...trunk,
    denoise: (latents, conditions, table, cache, signal) =>
      wait(conditions.length, signal, ({ denoising }) => {
        const index = denoising.push({ latents, conditions, table, cache }) - 1;
        return ({ noise }) => noise[index];
      }),
    append: (latents, cache, signal) =>
      wait(latents.shape[0], signal, ({ appending }) => {
        const index = appending.push({ latents, cache }) - 1;
        return ({ caches }) => caches[index];
      }),
  };
}

/** Adds the jobs of all calls to one pass; `answers` resolve the calls with its results. */
function joined(batch: readonly Waiting[]): Pass & { answers: ((results: PassResults) => void)[] } {
  const pass: Pass = { denoising: [], appending: [] };
  const answers = batch.map(({ join }) => join(pass));
  return { ...pass, answers };
}

/** @throws the reason of a signal, once every call of the batch is aborted */
function stopIfUnwanted(batch: readonly Waiting[]): void {
  if (batch.every(({ signal }) => signal?.aborted)) batch[0].signal?.throwIfAborted();
}

function groupsOf(batch: readonly Waiting[]): number {
  return batch.reduce((sum, { groups }) => sum + groups, 0);
}

/** Takes the first calls that fit from the queue, at least one. Aborted calls are dropped. */
function takeBatch(waiting: Waiting[], most: number): Waiting[] {
  const batch: Waiting[] = [];
  while (waiting.length > 0) {
    const [next] = waiting;
    if (next.signal?.aborted) next.reject(next.signal.reason);
    else if (batch.length > 0 && groupsOf(batch) + next.groups > most) break;
    else batch.push(next);
    waiting.shift();
  }
  return batch;
}

/** Bytes of modulations that are kept for later requests. */
const KEPT_BYTES = 512e6;

/** A trunk that remembers modulations: requests ask for the same steps again and again. */
export function rememberModulations(trunk: Trunk, capacity = KEPT_BYTES): Trunk {
  const most = Math.max(1, Math.floor(capacity / 4 / modulationSize(trunk.config)));
  /** The values of each layer by condition, the one that was asked for longest ago first. */
  const known = new Map<string, readonly Float32Array[]>();
  const { layers } = trunk.config;

  async function compute(conditions: readonly Condition[]): Promise<Map<string, readonly Float32Array[]>> {
    const table = await trunk.modulations(conditions);
    const rowsOf = (condition: Condition): Float32Array[] =>
      Array.from({ length: layers + 1 }, (_, layer) => table.row(layer, condition).slice());
    return new Map(conditions.map((condition) => [conditionKey(condition), rowsOf(condition)]));
  }

  return {
    ...trunk,
    async modulations(conditions) {
      const rows = new Map<string, readonly Float32Array[]>();
      const missing = new Map<string, Condition>();
      for (const condition of conditions) {
        const key = conditionKey(condition);
        const values = known.get(key);
        if (values) rows.set(key, values);
        else missing.set(key, condition);
      }
      // Other calls may add rows in the meantime, but do not change these.
      if (missing.size > 0) {
        for (const [key, values] of await compute([...missing.values()])) rows.set(key, values);
      }
      for (const [key, values] of rows) {
        known.delete(key);
        known.set(key, values);
      }
      for (const key of known.keys()) {
        if (known.size <= most) break;
        known.delete(key);
      }
      return tableOf(rows);
    },
  };
}

function tableOf(rows: ReadonlyMap<string, readonly Float32Array[]>): ModulationTable {
  return {
    has: (condition) => rows.has(conditionKey(condition)),
    row: (layer, condition) => rows.get(conditionKey(condition))![layer],
  };
}
