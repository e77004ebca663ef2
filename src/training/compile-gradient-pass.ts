/** @file Which gradient pass suits a device. */

import type { AcditConfig } from '../models/acdit/config.ts';
import type { Device } from '../runtime/device.ts';
import { createSemaphore } from '../semaphore.ts';
import type { Activations, GradientPass } from './gradient-pass.ts';
import { compileLayeredPass } from './layered-pass.ts';
import { compileWholePass } from './whole-pass.ts';

/**
 * Compiles the pass for batches of `samples`: one program where the device has a memory of its own and may keep
 * activations, else layer by layer. Runs share buffers, so they take turns.
 */
export async function compileGradientPass(
  device: Device,
  config: AcditConfig,
  samples: number,
  activations: Activations = 'save',
): Promise<GradientPass> {
  const pass = await (device.separateMemory && activations === 'save'
    ? compileWholePass(device, config, samples)
    : compileLayeredPass(device, config, samples, activations));
  const exclusively = createSemaphore(1);
  return {
    samples,
    run: (...args) => exclusively(() => pass.run(...args)),
    dispose: () => pass.dispose(),
  };
}
