/**
 * @file Continuous batching: requests that are sampled at the same time go through the trunk together, whatever their
 * blocks and steps. Each runs its own loop; where it calls the trunk, it waits for the next pass, which takes all that
 * wait. So a new request joins at the next step, and one that ends leaves no gap.
 */

import { type Condition, type ModulationTable, modulationSize } from './modulation-table.ts';
import { otherWork } from './other-work.ts';
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
  /** Most groups of a pass: its memory grows with them. A single request with more goes alone. */
  readonly groups: number;
  /** Gets each pass after it was made. */
  readonly onPass?: ((pass: PassInfo) => void) | undefined;
}

/** The jobs of a pass. */
interface Pass {
  readonly denoising: DenoiseJob[];
  readonly appending: AppendJob[];
}

/** Adds a job to a pass; gives what finds its result. */
type Join<Result> = (pass: Pass) => (results: PassResults) => Result;

interface Waiting {
  readonly groups: number;
  readonly signal: AbortSignal | undefined;
  /** Adds the job to a pass; gives what answers the one who waits. */
  join(pass: Pass): (results: PassResults) => void;
  reject(error: unknown): void;
}

/** A trunk whose `denoise` and `append` may be called again before they have answered, and then share passes. */
export function batchTrunk(trunk: Trunk, { groups: most, onPass }: BatchingOptions): Trunk {
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
      // Those of the last pass come again meanwhile, and new requests come in.
      await otherWork();
      const batch = takeBatch(waiting, most);
      if (batch.length > 0) await runPass(batch);
    }
    running = false;
  }

  async function runPass(batch: readonly Waiting[]): Promise<void> {
    const pass: Pass = { denoising: [], appending: [] };
    const answers = batch.map(({ join }) => join(pass));
    const started = performance.now();
    try {
      const results = await trunk.pass(pass.denoising, pass.appending);
      const seconds = (performance.now() - started) / 1000;
      onPass?.({ sequences: batch.length, groups: groupsOf(batch), seconds });
      for (const answer of answers) answer(results);
    } catch (error) {
      for (const { reject } of batch) reject(error);
    }
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

function groupsOf(batch: readonly Waiting[]): number {
  return batch.reduce((sum, { groups }) => sum + groups, 0);
}

/** Take out what comes first and fits, at least one. What nobody waits for any more is dropped. */
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

  async function compute(conditions: readonly Condition[]): Promise<void> {
    const table = await trunk.modulations(conditions);
    for (const condition of conditions) {
      const rows = Array.from({ length: layers + 1 }, (_, layer) => table.row(layer, condition).slice());
      known.set(keyOf(condition), rows);
    }
  }

  return {
    ...trunk,
    async modulations(conditions) {
      const missing = conditions.filter((condition) => !known.has(keyOf(condition)));
      if (missing.length > 0) await compute(missing);
      const rows = new Map<string, readonly Float32Array[]>();
      for (const key of new Set(conditions.map(keyOf))) {
        const values = known.get(key)!;
        rows.set(key, values);
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

function keyOf({ timestep, label }: Condition): string {
  return `${timestep}/${label}`;
}

function tableOf(rows: ReadonlyMap<string, readonly Float32Array[]>): ModulationTable {
  return {
    has: (condition) => rows.has(keyOf(condition)),
    row: (layer, condition) => rows.get(keyOf(condition))![layer],
  };
}
