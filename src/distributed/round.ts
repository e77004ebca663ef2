/** @file How ranks end a round of work together: each says how it fared, and all act on what all have said. */

import { at } from '../at.ts';
import { agree } from './agree.ts';
import type { Ranks } from './communicator.ts';

/** What a rank says at the end of a round. */
export const ROUND = { continue: 0, stop: 1, failed: 2 } as const;

/**
 * Acts on what the ranks have said. Collective if one of them failed.
 * @param failure why this rank cannot continue, if it said so
 * @throws what failed on a rank, on all of them; the signal's reason if one was asked to stop.
 */
export async function settleRound(
  { communicator, stop }: Pick<Ranks, 'communicator' | 'stop'>,
  states: ArrayLike<number>,
  failure: { readonly error: unknown } | undefined,
): Promise<void> {
  const said = Array.from(states);
  if (said.includes(ROUND.failed)) {
    const isOwn = at(said, communicator.rank) === ROUND.failed;
    await agree(communicator, () => (isOwn ? Promise.reject(failure?.error) : Promise.resolve()));
  }
  if (!said.includes(ROUND.stop)) return;
  stop.abort(new Error('interrupted'));
  stop.signal.throwIfAborted();
}
