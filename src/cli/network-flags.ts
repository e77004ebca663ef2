/** @file Flags that choose the network of an evaluation's features. */

import { CLIP_RESIZINGS } from '../models/i3d/i3d.ts';
import { PREPROCESSINGS } from '../models/inception/inception.ts';
import { FASHION_MNIST, I3D, INCEPTION, type NetworkOptions } from '../runs/feature-network.ts';
import type { Flags, FlagValues } from './flags.ts';
import { choice, realNumber } from './values.ts';

export const networkFlags = {
  network: {
    value: 'NAME',
    help: `${INCEPTION}, ${I3D}, ${FASHION_MNIST} or a classifier's folder (default: ${INCEPTION}, for videos ${I3D})`,
  },
  inception: { value: 'FILE', help: 'weights of the Inception network: .pth, .pb or .safetensors' },
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

/** Returns the flags as options of a run. */
export function networkOptions(values: FlagValues<typeof networkFlags>): NetworkOptions {
  const {
    network,
    inception,
    preprocessing,
    i3d,
    'i3d-epsilon': i3dEpsilon,
    'clip-resize': clipResize,
  } = values;
  return { network, inception, preprocessing, i3d, i3dEpsilon, clipResize };
}
