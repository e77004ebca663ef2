/** @file The network that an evaluation compares by, as it is named to a command. */

import { loadClassifier } from '../checkpoints/classifier.ts';
import { openI3d } from '../checkpoints/i3d.ts';
import { openInception } from '../checkpoints/inception.ts';
import { classifierNetwork } from '../evaluation/classifier-network.ts';
import { CLIP_PROTOCOL } from '../evaluation/clips.ts';
import type { FeatureNetwork } from '../evaluation/feature-network.ts';
import { i3dNetwork } from '../evaluation/i3d-network.ts';
import { inceptionNetwork } from '../evaluation/inception-network.ts';
import { CLIP_RESIZINGS } from '../models/i3d/preprocess.ts';
import { PREPROCESSINGS } from '../models/inception/preprocess.ts';
import { bundledClassifier } from '../runs/bundled-model.ts';
import { i3dPath, inceptionPath } from '../runs/network-path.ts';
import type { Device } from '../runtime/device.ts';
import type { Flags, FlagValues } from './flags.ts';
import { choice, realNumber } from './values.ts';

/** What the network of the FID is called. */
export const INCEPTION = 'inception';
/** What the network of the FVD is called. */
export const I3D = 'i3d';
/** What the bundled classifier is called. */
export const FASHION_MNIST = 'fashion-mnist';

export const networkFlags = {
  network: {
    value: 'NAME',
    help: `${INCEPTION}, ${I3D}, ${FASHION_MNIST} or a classifier's folder (default: ${INCEPTION}, for videos ${I3D})`,
  },
  inception: {
    value: 'FILE',
    help: 'weights of the Inception network: .pth, .pb or .safetensors',
  },
  preprocessing: {
    value: 'NAME',
    parse: choice(PREPROCESSINGS),
    default: 'adm',
    help: `resizing of images for Inception: ${PREPROCESSINGS.join(' or ')}`,
  },
  i3d: { value: 'FILE', help: 'weights of I3D for videos: .pt or .safetensors' },
  'i3d-epsilon': {
    value: 'E',
    parse: realNumber('from 0 to below 1, such as 1e-3', (value) => value >= 0 && value < 1),
    help: "epsilon of I3D's batch norms (default: 1e-5 for the file of VideoGPT and TATS, else 1e-3)",
  },
  'clip-resize': {
    value: 'NAME',
    parse: choice(CLIP_RESIZINGS),
    default: 'tensorflow',
    help: `resizing of frames for I3D: ${CLIP_RESIZINGS.join(' or ')}`,
  },
} as const satisfies Flags;

export type NetworkValues = Partial<Omit<FlagValues<typeof networkFlags>, 'network'>>;

/**
 * Open a network.
 * @param name that of a known one, or the folder of a classifier.
 * @param frames of the clips that a network of videos is to take.
 * @throws {ArgumentError} if the weights of Inception or I3D are not found; {CheckpointError} if a file or folder holds another
 * network; {FormatError} if a file is damaged.
 */
export async function openFeatureNetwork(
  device: Device,
  name: string,
  values: NetworkValues = {},
  frames: number = CLIP_PROTOCOL.frames,
): Promise<FeatureNetwork> {
  if (name === I3D) return openI3dNetwork(device, values, frames);
  if (name === INCEPTION) return openInceptionNetwork(device, values);
  return classifierNetwork(device, await loadClassifier(name === FASHION_MNIST ? bundledClassifier() : name));
}

async function openInceptionNetwork(
  device: Device,
  { inception, preprocessing = 'adm' }: NetworkValues,
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
  values: NetworkValues,
  frames: number,
): Promise<FeatureNetwork> {
  const { i3d, 'i3d-epsilon': epsilon, 'clip-resize': resizing = 'tensorflow' } = values;
  const stored = await openI3d(await i3dPath(i3d), epsilon);
  try {
    return await i3dNetwork(device, stored, { frames, resizing });
  } finally {
    await stored.close();
  }
}
