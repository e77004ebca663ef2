/** @file The Inception network of the FID as a feature network. */

import { createHash } from 'node:crypto';
import { createInception, type InceptionWeights, type Preprocessing } from '../models/inception/inception.ts';
import type { Device } from '../runtime/device.ts';
import { type Tensor, tensorBytes } from '../tensor/tensor.ts';
import { FID_NETWORKS } from './evaluation-set.ts';
import type { FeatureNetwork } from './feature-network.ts';

/** Images whose intermediate values still fit the processor's cache. */
const BATCH = 4;

/** Prepare the network, whose weights are copied. */
export async function inceptionNetwork(
  device: Device,
  weights: InceptionWeights,
  preprocessing: Preprocessing = 'adm',
): Promise<FeatureNetwork> {
  const hash = createHash('sha256');
  const hashed = <T extends Tensor>(value: T): T => {
    hash.update(tensorBytes(value));
    return value;
  };
  const inception = await createInception(device, {
    classifier: async () => hashed(await weights.classifier()),
    async convolution(layer) {
      const { weight, bias } = await weights.convolution(layer);
      return { weight: hashed(weight), bias: hashed(bias) };
    },
  });
  return {
    name: FID_NETWORKS[preprocessing],
    // Other weights may have the same layers, but make different features.
    protocol: { weights: hash.digest('hex').slice(0, 16) },
    channels: 3,
    batchSize: BATCH,
    extract: (images) => inception.extract(images, preprocessing),
    dispose: () => inception.dispose(),
  };
}
