/** @file A sampling process that is started again if it ends, as when the system runs out of memory. */

import type { PassInfo } from '../sampling/batching.ts';
import { openProcessSampler, type ProcessSampler } from './process-sampler.ts';
import type { SamplingSettings } from './sampling-messages.ts';

/**
 * Start a sampling process. Requests that it was working on when it ends fail; the next one starts it again.
 * @throws {AcditError} if the model cannot be loaded
 */
export async function openRestartingSampler(
  settings: SamplingSettings,
  onPass?: (pass: PassInfo) => void,
): Promise<ProcessSampler> {
  const first = await openProcessSampler(settings, onPass);
  let current = first;
  let starting: Promise<ProcessSampler> | undefined;

  async function living(): Promise<ProcessSampler> {
    if (current.alive) return current;
    starting ??= openProcessSampler(settings, onPass).finally(() => {
      starting = undefined;
    });
    current = await starting;
    return current;
  }

  return {
    config: first.config,
    get alive() {
      return current.alive;
    },
    get pid() {
      return current.pid;
    },
    async *sample(request) {
      yield* (await living()).sample(request);
    },
    dispose: () => current.dispose(),
  };
}
