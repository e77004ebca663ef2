/** @file Failures that all ranks learn of, so that all stop and one reports. */

import { hostname } from 'node:os';
import { at } from '../at.ts';
import { AcditError } from '../errors.ts';
import type { Communicator, Ranks } from './communicator.ts';

/** A failure that all ranks know of; the first rank reports it. */
export class SharedFailure extends AcditError {
  override name = 'SharedFailure';
}

/**
 * Waits until all ranks have done their work, which must not communicate. Collective.
 * @throws {SharedFailure} if it failed on any rank, naming the rank; a failure of the first rank is thrown there as it is.
 */
export async function agree<T>(ranks: Communicator, work: () => Promise<T>): Promise<T> {
  let result: T | undefined;
  let failure: { readonly error: unknown } | undefined;
  try {
    result = await work();
  } catch (error) {
    failure = { error };
  }
  const failures = await exchangeTexts(ranks, failure ? describe(failure.error) : '');
  const first = failures.findIndex((text) => text !== '');
  if (first < 0) return result as T;
  throw first === 0 && failure && ranks.rank === 0 ? failure.error : new SharedFailure(at(failures, first));

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

/** Runs work on each rank, or here alone, and fails on all if it fails on one. */
export function onEach<T>(
  ranks: Pick<Ranks, 'communicator'> | undefined,
  work: () => Promise<T>,
): Promise<T> {
  return ranks ? agree(ranks.communicator, work) : work();
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
