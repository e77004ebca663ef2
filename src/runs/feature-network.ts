/** @file Finds and opens the network that an evaluation compares by. */

import { homedir } from 'node:os';
import { join } from 'node:path';
import { BUNDLED_CLASSIFIERS } from '../checkpoints/bundled-names.ts';
import { loadClassifier } from '../checkpoints/classifier.ts';
import { I3D_FILES, openI3d } from '../checkpoints/i3d.ts';
import { INCEPTION_FILES, openInception } from '../checkpoints/inception.ts';
import { ArgumentError } from '../errors.ts';
import { CLIP_PROTOCOL } from '../evaluation/clips.ts';
import {
  classifierNetwork,
  type FeatureNetwork,
  i3dNetwork,
  inceptionNetwork,
} from '../evaluation/feature-network.ts';
import { closingAfter } from '../io/byte-source.ts';
import { isFile } from '../io/file-source.ts';
import type { ClipResizing } from '../models/i3d/i3d.ts';
import type { Preprocessing } from '../models/inception/inception.ts';
import type { Device } from '../runtime/device.ts';
import { bundledClassifier } from './model-path.ts';

/** Name of the FID's network. */
export const INCEPTION = 'inception';
/** Name of the FVD's network. */
export const I3D = 'i3d';
/** All names of networks; a bundled classifier has that of the model whose images it knows. */
export const NETWORKS: readonly string[] = [INCEPTION, I3D, ...BUNDLED_CLASSIFIERS];

/** Which network an evaluation compares by, and how images or videos are prepared for it. */
export interface NetworkOptions {
  /**
   * `inception`, `i3d`, `fashion-mnist` or `avatars` (the bundled classifiers), or the folder of a classifier (default:
   * inception, or i3d for videos).
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
  if (name === I3D) {
    const { i3d, i3dEpsilon, clipResize: resizing = 'tensorflow' } = options;
    return closingAfter(await openI3d(await i3dPath(i3d), i3dEpsilon), (stored) =>
      i3dNetwork(device, stored, { frames, resizing }),
    );
  }
  if (name === INCEPTION) {
    const { inception, preprocessing = 'adm' } = options;
    return closingAfter(await openInception(await inceptionPath(inception)), (stored) =>
      inceptionNetwork(device, stored, preprocessing),
    );
  }
  const isBundled = BUNDLED_CLASSIFIERS.includes(name);
  return classifierNetwork(device, await loadClassifier(isBundled ? bundledClassifier(name) : name));
}

/** Environment variables, such as `process.env`. */
type Environment = Readonly<Record<string, string | undefined>>;

/** The variables that name the files. */
const [I3D_VARIABLE, INCEPTION_VARIABLE] = ['ACDIT_I3D', 'ACDIT_INCEPTION'];

/**
 * Returns the file of I3D's weights: the given one, that of the environment, or one of the usual names in the working folder.
 * @param given with `--i3d`.
 * @throws {ArgumentError} if there is none.
 */
export async function i3dPath(
  given: string | undefined,
  environment: Environment = process.env,
): Promise<string> {
  const { torchScript, stateDict } = I3D_FILES;
  const path = await found(given, environment[I3D_VARIABLE], [torchScript.name, stateDict.name]);
  if (path !== undefined) return path;
  throw new ArgumentError(
    `features of videos need the weights of the I3D network: get ${torchScript.name} from ${torchScript.address}, or ` +
      `${stateDict.name}, which ${stateDict.address} loads, and give it with --i3d FILE or ${I3D_VARIABLE}`,
  );
}

/**
 * Returns the file of the weights of the FID's Inception network: the given one, that of the environment, or the one that
 * pytorch-fid, torch-fidelity or the ADM evaluator stored.
 * @param given with `--inception`.
 * @throws {ArgumentError} if there is none.
 */
export async function inceptionPath(
  given: string | undefined,
  environment: Environment = process.env,
): Promise<string> {
  const folder = torchFolder(environment);
  const { torch, tensorflow } = INCEPTION_FILES;
  const path = await found(given, environment[INCEPTION_VARIABLE], [
    join(folder, torch.name),
    join(folder, torch.name.replace(/^pt_/, 'weights-')), // torch-fidelity's name for the same file
    tensorflow.name,
  ]);
  if (path !== undefined) return path;
  throw new ArgumentError(
    `features of images need the weights of the Inception network of 2015-12-05: get ${torch.name} (SHA-256 ` +
      `${torch.hash}...) from ${torch.address}, or ${tensorflow.name} from ${tensorflow.address}, and give it with ` +
      `--inception FILE or ${INCEPTION_VARIABLE}, or put it into ${folder}`,
  );
}

async function found(
  given: string | undefined,
  variable: string | undefined,
  places: readonly string[],
): Promise<string | undefined> {
  const named = given ?? variable?.trim();
  if (named) return named;
  for (const path of places) if (await isFile(path)) return path;
  return undefined;
}

/** Returns the folder where PyTorch stores its downloads. */
function torchFolder(environment: Environment): string {
  const cache = environment.XDG_CACHE_HOME || join(homedir(), '.cache');
  return join(environment.TORCH_HOME || join(cache, 'torch'), 'hub', 'checkpoints');
}
