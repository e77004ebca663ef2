/** @file Items that ranks make, and the first one takes in order: item i is made by rank i mod R. */

import { at } from '../at.ts';
import type { Ranks } from './communicator.ts';
import { ROUND, settleRound } from './round.ts';

/** How items are made, and taken. */
export interface InOrderOptions {
  readonly count: number;
  /** Makes an item; it should end soon when the signal aborts. */
  make(item: number, signal: AbortSignal): Promise<Uint8Array>;
  /** Takes an item; called on the first rank only, in order. */
  take(bytes: Uint8Array, item: number): Promise<void>;
}

/**
 * Makes items in rounds of one per rank. Collective. Ranks without an item wait.
 * @throws what failed on a rank, on all of them; the signal's reason if one was asked to stop.
 */
export async function inOrder(
  { communicator, wish, stop }: Ranks,
  { count, make, take }: InOrderOptions,
): Promise<void> {
  const { rank, size } = communicator;
  let failure: { readonly error: unknown } | undefined;
  const attempt = async (work: () => Promise<void>): Promise<void> => {
    await work().catch((error) => {
      failure ??= { error };
    });
  };
  for (let first = 0; first < count; first += size) {
    let bytes: Uint8Array = new Uint8Array();
    const isOwn = first + rank < count;
    if (isOwn && !wish.aborted) {
      await attempt(async () => {
        bytes = await make(first + rank, wish);
      });
    }
    const state = wish.aborted ? ROUND.stop : failure ? ROUND.failed : ROUND.continue;
    await settle(state);
    const items = await communicator.gatherToFirst(bytes);
    await attempt(async () => {
      for (const [i, item] of items.entries()) {
        if (rank === 0 && first + i < count) await take(item, first + i);
      }
    });
  }
  await settle(failure ? ROUND.failed : ROUND.continue);

  async function settle(state: number): Promise<void> {
    const states = (await communicator.gatherToAll(Uint8Array.of(state))).map((bytes) => at(bytes, 0));
    await settleRound({ communicator, stop }, states, failure);
  }
}
