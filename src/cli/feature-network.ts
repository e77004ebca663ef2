/** @file The network that an evaluation compares by, as it is named to a command. */

import { loadClassifier } from '../checkpoints/classifier.ts';
import { classifierNetwork } from '../evaluation/classifier-network.ts';
import type { FeatureNetwork } from '../evaluation/feature-network.ts';
import type { Device } from '../runtime/device.ts';
import { bundledClassifier } from './bundled-model.ts';

/** What the bundled classifier is called. */
export const FASHION_MNIST = 'fashion-mnist';

/**
 * Open a network.
 * @param name that of the bundled classifier, or the folder of another.
 * @throws {CheckpointError} if the folder holds none; {FormatError} if a file is damaged.
 */
export async function openFeatureNetwork(device: Device, name: string): Promise<FeatureNetwork> {
  return classifierNetwork(device, await loadClassifier(name === FASHION_MNIST ? bundledClassifier() : name));
}
