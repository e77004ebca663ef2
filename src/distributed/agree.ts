/** @file Failures that all ranks learn of, so that all stop and one reports. */

import { hostname } from 'node:os';
import { setTimeout as sleep } from 'node:timers/promises';
import { at } from '../at.ts';
import { AcditError } from '../errors.ts';
import type { Communicator, Ranks } from './communicator.ts';

/** Milliseconds after which a rank that works alone reports to the others that it still does. */
export const SIGN_OF_LIFE_MS = 10_000;

/** A failure that all ranks know of; the first rank reports it. */
export class SharedFailure extends AcditError {
  override name = 'SharedFailure';
}

/**
 * Waits until all ranks have done their work, which must not communicate. Collective.
 * @throws {SharedFailure} if it failed on any rank, naming the rank; a failure of the first rank is thrown there as it is.
 */
export async function agree<T>(ranks: Communicator, work: () => Promise<T>): Promise<T> {
  const working = settled(work);
  while (!(await haveAllEnded(ranks, working)));
  const outcome = await working;
  const failures = await exchangeTexts(ranks, outcome.status === 'rejected' ? describe(outcome.reason) : '');
  const first = failures.findIndex((text) => text !== '');
  if (outcome.status === 'fulfilled' && first < 0) return outcome.value;
  throw outcome.status === 'rejected' && first === 0 && ranks.rank === 0
    ? outcome.reason
    : new SharedFailure(at(failures, first));

  function describe(error: unknown): string {
    const message =
      error instanceof AcditError
        ? error.message
        : error instanceof Error
          ? (error.stack ?? '')
          : String(error);
    return ranks.rank === 0 ? message || 'failed' : `${rankName(ranks)}: ${message}`;
  }
}

async function settled<T>(work: () => Promise<T>): Promise<PromiseSettledResult<T>> {
  const [outcome] = await Promise.allSettled([work()]);
  return outcome;
}

/** Whether the work of all ranks has ended; waits for one that works no longer than its next sign of life. Collective. */
async function haveAllEnded(ranks: Communicator, working: Promise<unknown>): Promise<boolean> {
  const hasEnded = working.then(() => 1);
  const states = await ranks.gatherToAll(
    Uint8Array.of(await Promise.race([hasEnded, sleep(SIGN_OF_LIFE_MS, 0, { ref: false })])),
  );
  return states.every(([ended]) => ended === 1);
}

/** Runs work on each rank, or here alone, and fails on all if it fails on one. */
export function onEach<T>(
  ranks: Pick<Ranks, 'communicator'> | undefined,
  work: () => Promise<T>,
): Promise<T> {
  return ranks ? agree(ranks.communicator, work) : work();
}

/** Runs work on the first rank, or here alone; if it fails, it fails on all. */
export async function onFirst<T>(
  ranks: Pick<Ranks, 'communicator'> | undefined,
  work: () => Promise<T>,
): Promise<T | undefined> {
  return onEach(ranks, async () => (ranks && ranks.communicator.rank > 0 ? undefined : work()));
}

/** The rank and its machine, for messages: `rank 3 on n4`. */
export function rankName({ rank }: Pick<Communicator, 'rank'>): string {
  return `rank ${rank} on ${hostname()}`;
}

/** Everyone's text, by rank. Collective. */
export async function exchangeTexts(ranks: Communicator, text: string): Promise<string[]> {
  const all = await ranks.gatherToAll(new TextEncoder().encode(text));
  return all.map((bytes) => new TextDecoder().decode(bytes));
}
