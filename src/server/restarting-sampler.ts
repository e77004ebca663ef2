/** @file A sampling process that is started again if it ends, as when the system runs out of memory. */

import { onDemand } from '../remote/on-demand.ts';
import type { PassInfo } from '../sampling/batching.ts';
import {
  openProcessSampler,
  type ProcessSampler,
  type SamplingSettings,
} from '../sampling/process-sampler.ts';

/**
 * Start a sampling process. Requests that it was working on when it ends fail; the next one starts it again.
 * @throws {AcditError} if the model cannot be loaded
 */
export async function openRestartingSampler(
  settings: SamplingSettings,
  onPass?: (pass: PassInfo) => void,
): Promise<ProcessSampler> {
  const process = onDemand(() => openProcessSampler(settings, onPass));
  let current = await process.get();
  return {
    config: current.config,
    get alive() {
      return current.alive;
    },
    get pid() {
      return current.pid;
    },
    async *sample(request) {
      current = await process.get();
      yield* current.sample(request);
    },
    dispose: () => process.dispose(),
  };
}
