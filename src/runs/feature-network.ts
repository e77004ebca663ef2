/** @file Opens the network that an evaluation compares by. */

import { loadClassifier } from '../checkpoints/classifier.ts';
import { openI3d } from '../checkpoints/i3d.ts';
import { openInception } from '../checkpoints/inception.ts';
import { CLIP_PROTOCOL } from '../evaluation/clips.ts';
import type { FeatureNetwork } from '../evaluation/feature-network.ts';
import { classifierNetwork, i3dNetwork, inceptionNetwork } from '../evaluation/feature-network.ts';
import type { ClipResizing } from '../models/i3d/i3d.ts';
import type { Preprocessing } from '../models/inception/inception.ts';
import type { Device } from '../runtime/device.ts';
import { bundledClassifier } from './bundled-model.ts';
import { i3dPath, inceptionPath } from './network-path.ts';

/** Name of the FID's network. */
export const INCEPTION = 'inception';
/** Name of the FVD's network. */
export const I3D = 'i3d';
/** Name of the bundled classifier. */
export const FASHION_MNIST = 'fashion-mnist';

/** Which network an evaluation compares by, and how images or videos are prepared for it. */
export interface NetworkOptions {
  /**
   * `inception`, `i3d`, `fashion-mnist` (the bundled classifier), or the folder of a classifier (default: inception, or i3d
   * for videos).
   */
  readonly network?: string | undefined;
  /** Weights of the Inception network (default: where {@link inceptionPath} finds them). */
  readonly inception?: string | undefined;
  /** Resizing of images for Inception (default: adm). */
  readonly preprocessing?: Preprocessing | undefined;
  /** Weights of I3D (default: where {@link i3dPath} finds them). */
  readonly i3d?: string | undefined;
  /** Epsilon of I3D's batch norms (default: 1e-5 for the file of VideoGPT and TATS, else 1e-3). */
  readonly i3dEpsilon?: number | undefined;
  /** Resizing of frames for I3D (default: tensorflow). */
  readonly clipResize?: ClipResizing | undefined;
}

/**
 * Opens a network.
 * @param name of a known one, or the folder of a classifier.
 * @param frames per clip that a network of videos takes.
 * @throws {ArgumentError} if the weights of Inception or I3D are not found; {CheckpointError} if a file or folder holds another
 * network; {FormatError} if a file is damaged.
 */
export async function openFeatureNetwork(
  device: Device,
  name: string,
  options: NetworkOptions = {},
  frames: number = CLIP_PROTOCOL.frames,
): Promise<FeatureNetwork> {
  if (name === I3D) return openI3dNetwork(device, options, frames);
  if (name === INCEPTION) return openInceptionNetwork(device, options);
  return classifierNetwork(device, await loadClassifier(name === FASHION_MNIST ? bundledClassifier() : name));
}

async function openInceptionNetwork(
  device: Device,
  { inception, preprocessing = 'adm' }: NetworkOptions,
): Promise<FeatureNetwork> {
  const stored = await openInception(await inceptionPath(inception));
  try {
    return await inceptionNetwork(device, stored, preprocessing);
  } finally {
    await stored.close();
  }
}

async function openI3dNetwork(
  device: Device,
  { i3d, i3dEpsilon, clipResize: resizing = 'tensorflow' }: NetworkOptions,
  frames: number,
): Promise<FeatureNetwork> {
  const stored = await openI3d(await i3dPath(i3d), i3dEpsilon);
  try {
    return await i3dNetwork(device, stored, { frames, resizing });
  } finally {
    await stored.close();
  }
}
