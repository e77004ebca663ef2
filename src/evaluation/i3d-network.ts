/** @file I3D as a feature network: its logits are what the Fréchet Video Distance compares. */

import { createHash } from 'node:crypto';
import type { StoredI3d } from '../checkpoints/i3d.ts';
import { type ClipResizing, createI3d, preprocessClips } from '../models/i3d/i3d.ts';
import type { Device } from '../runtime/device.ts';
import { tensorBytes } from '../tensor/tensor.ts';
import { FVD_NETWORK } from './evaluation-set.ts';
import type { FeatureNetwork } from './feature-network.ts';

/** Clips at once: one alone leaves the small convolutions of the last layers slow, and more take 90 MB each. */
const BATCH = 4;

/**
 * Prepare I3D, whose weights are copied, for clips of so many frames.
 * @throws {ArgumentError} if there are fewer frames than 9; {CheckpointError} if a weight has another shape.
 */
export async function i3dNetwork(
  device: Device,
  { parameters, epsilon }: StoredI3d,
  { frames, resizing }: { readonly frames: number; readonly resizing: ClipResizing },
): Promise<FeatureNetwork> {
  const hash = createHash('sha256');
  const i3d = await createI3d({
    device,
    frames,
    async parameters(layer) {
      const { weight, bias } = await parameters(layer);
      for (const value of [weight, bias]) hash.update(tensorBytes(value));
      return { weight, bias };
    },
  });
  // Other weights may have the same layers, but make different features.
  const weights = hash.digest('hex').slice(0, 16);
  return {
    name: FVD_NETWORK,
    channels: 3,
    takesClips: true,
    protocol: { resize: resizing, batchNormEpsilon: epsilon, weights },
    batchSize: BATCH,
    extract: async (clips) => ({ features: await i3d.logits(preprocessClips(clips, resizing)) }),
    dispose: () => i3d.dispose(),
  };
}
