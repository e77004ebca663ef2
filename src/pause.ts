/** @file Waiting that can be interrupted. */

import { setTimeout as sleep } from 'node:timers/promises';

/** @throws the signal's reason if it aborts */
export async function pause(milliseconds: number, signal: AbortSignal | undefined): Promise<void> {
  await sleep(milliseconds, undefined, signal ? { signal } : {}).catch(() => {});
  signal?.throwIfAborted();
}
