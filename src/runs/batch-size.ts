/** @file The batch of a training: as the recipe gives it, or as many samples as fit into memory when the run begins. */

import { hostname } from 'node:os';
import { exchangeTexts, onEach, onFirst } from '../distributed/agree.ts';
import type { Ranks } from '../distributed/communicator.ts';
import { ArgumentError } from '../errors.ts';
import type { AcditConfig } from '../models/acdit/config.ts';
import type { Device } from '../runtime/device.ts';
import { machine } from '../runtime/machine.ts';
import { trainingMemory } from '../training/memory.ts';
import { type Recipe, type RecipeDraft, withBatch } from '../training/recipe.ts';
import { recordedSettings } from './run-record.ts';

/** What a batch is found for. */
export interface BatchSearch {
  readonly draft: RecipeDraft;
  readonly config: AcditConfig;
  /** Samples of the dataset. */
  readonly samples: number;
  readonly device: Device;
  readonly ranks?: Ranks | undefined;
  /** Whether the run starts over, without what its folder keeps. */
  readonly fresh: boolean;
}

/** Share of this process's memory that a batch may fill if the recipe gives no bound. */
const DEFAULT_SHARE = 0.8;
const GIGABYTE = 1e9;

/**
 * Returns the recipe with its batch as a number. A batch of `auto` is that of the run that is resumed or, for a new run, the
 * largest power of two that fits into memory on every rank. Collective.
 * @throws {ArgumentError} if not even one sample fits, or the bound is not known.
 */
export async function resolveBatch(search: BatchSearch): Promise<{ recipe: Recipe; found?: string }> {
  const { draft, ranks, fresh } = search;
  const { batch } = draft.training;
  if (batch !== 'auto') return { recipe: withBatch(draft, batch) };
  const recorded = await onFirst(ranks, async () =>
    fresh ? undefined : (await recordedSettings(draft.output.folder))?.training.batch,
  );
  const [kept = 0] = await ofAll(ranks, recorded ?? 0);
  if (kept > 0) return { recipe: withBatch(draft, kept), found: `batch ${kept}, which the run keeps` };
  const bound = await memoryBound(search);
  const own = await onEach(ranks, async () => largestBatch(search, bound));
  const smallest = Math.min(...(await ofAll(ranks, own)));
  const of = `${gigabytes(memoryOf(search, smallest))} of at most ${gigabytes(bound)}`;
  return { recipe: withBatch(draft, smallest), found: `batch ${smallest}: it needs about ${of}` };
}

/** Everyone's number, by rank. Collective. */
async function ofAll(ranks: Ranks | undefined, number: number): Promise<number[]> {
  return ranks ? (await exchangeTexts(ranks.communicator, String(number))).map(Number) : [number];
}

/** Bytes that this process may fill: with several on a machine, its part of what they share. */
async function memoryBound({ draft, device, ranks }: BatchSearch): Promise<number> {
  const { memory } = draft.training;
  const hosts = ranks ? await exchangeTexts(ranks.communicator, hostname()) : [hostname()];
  if (memory !== undefined) return memory * GIGABYTE;
  await onEach(ranks, async () => {
    if (!device.separateMemory) return;
    throw new ArgumentError(
      `training.batch "auto" needs a bound, as the memory of ${device.name} is not known; give training.memory in gigabytes`,
    );
  });
  return (DEFAULT_SHARE * machine().memory) / hosts.filter((host) => host === hostname()).length;
}

/**
 * The largest power of two that fits, at most what leaves a step without a sample twice.
 * @throws {ArgumentError} if none fits
 */
function largestBatch(search: BatchSearch, bound: number): number {
  const most = search.samples / search.draft.training.accumulate;
  let batch = 0;
  for (let next = 1; next <= Math.max(1, most) && memoryOf(search, next) <= bound; next *= 2) batch = next;
  if (batch === 0) throw tooSmall(search, bound);
  return batch;
}

function memoryOf({ config, draft }: BatchSearch, batch: number): number {
  return trainingMemory(config, batch, draft.training.activations).total;
}

function tooSmall(search: BatchSearch, bound: number): ArgumentError {
  return new ArgumentError(
    `training.batch "auto": training with a batch of 1 needs about ${gigabytes(memoryOf(search, 1))}, more than the ` +
      `${gigabytes(bound)} that it may fill; give a larger training.memory, or "activations": "recompute"`,
  );
}

function gigabytes(bytes: number): string {
  return `${(bytes / GIGABYTE).toPrecision(3)} GB`;
}
