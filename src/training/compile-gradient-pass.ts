/** @file Which gradient pass suits a device. */

import type { AcditConfig } from '../models/acdit/config.ts';
import type { Device } from '../runtime/device.ts';
import type { Activations, GradientPass } from './gradient-pass.ts';
import { compileLayeredPass } from './layered-pass.ts';
import { compileWholePass } from './whole-pass.ts';

/**
 * Compile the pass for batches of `samples`: one program where the device has a memory of its own and may keep
 * activations, else layer by layer.
 */
export async function compileGradientPass(
  device: Device,
  config: AcditConfig,
  samples: number,
  activations: Activations = 'save',
): Promise<GradientPass> {
  return device.separateMemory && activations === 'save'
    ? compileWholePass(device, config, samples)
    : compileLayeredPass(device, config, samples, activations);
}
