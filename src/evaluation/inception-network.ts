/** @file The Inception network of the FID as a feature network. */

import { createInception, type InceptionWeights } from '../models/inception/inception.ts';
import type { Preprocessing } from '../models/inception/preprocess.ts';
import type { Device } from '../runtime/device.ts';
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
  const inception = await createInception(device, weights);
  return {
    name: FID_NETWORKS[preprocessing],
    channels: 3,
    batchSize: BATCH,
    extract: (images) => inception.extract(images, preprocessing),
    dispose: () => inception.dispose(),
  };
}
