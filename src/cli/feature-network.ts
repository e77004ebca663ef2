/** @file The network that an evaluation compares by, as it is named to a command. */

import { loadClassifier } from '../checkpoints/classifier.ts';
import { openInception } from '../checkpoints/inception.ts';
import { classifierNetwork } from '../evaluation/classifier-network.ts';
import type { FeatureNetwork } from '../evaluation/feature-network.ts';
import { inceptionNetwork } from '../evaluation/inception-network.ts';
import { PREPROCESSINGS } from '../models/inception/preprocess.ts';
import type { Device } from '../runtime/device.ts';
import { bundledClassifier } from './bundled-model.ts';
import type { Flags, FlagValues } from './flags.ts';
import { inceptionPath } from './inception-path.ts';
import { choice } from './values.ts';

/** What the network of the FID is called. */
export const INCEPTION = 'inception';
/** What the bundled classifier is called. */
export const FASHION_MNIST = 'fashion-mnist';

export const networkFlags = {
  network: {
    type: 'string',
    value: 'NAME',
    help: `of the features of images: ${INCEPTION}, ${FASHION_MNIST}, or a classifier's folder (${INCEPTION})`,
  },
  inception: {
    type: 'string',
    value: 'FILE',
    help: 'weights of the Inception network: .pth, .pb or .safetensors',
  },
  preprocessing: {
    type: 'string',
    value: 'NAME',
    help: `how images are resized for Inception: ${PREPROCESSINGS.join(' or ')} (adm)`,
  },
} as const satisfies Flags;

export type NetworkValues = Omit<FlagValues<typeof networkFlags>, 'network'>;

/**
 * Open a network.
 * @param name that of a known one, or the folder of a classifier.
 * @throws {ArgumentError} if the weights of Inception are not found; {CheckpointError} if a file or folder holds another
 * network; {FormatError} if a file is damaged.
 */
export async function openFeatureNetwork(
  device: Device,
  name: string,
  values: NetworkValues = {},
): Promise<FeatureNetwork> {
  if (name === INCEPTION) return openInceptionNetwork(device, values);
  return classifierNetwork(device, await loadClassifier(name === FASHION_MNIST ? bundledClassifier() : name));
}

async function openInceptionNetwork(
  device: Device,
  { inception, preprocessing = 'adm' }: NetworkValues,
): Promise<FeatureNetwork> {
  const way = choice('preprocessing', preprocessing, PREPROCESSINGS);
  const stored = await openInception(await inceptionPath(inception));
  try {
    return await inceptionNetwork(device, stored, way);
  } finally {
    await stored.close();
  }
}
