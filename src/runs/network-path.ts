/** @file Finds the weights of the networks that evaluations use. */

import { homedir } from 'node:os';
import { join } from 'node:path';
import { I3D_FILES } from '../checkpoints/i3d.ts';
import { INCEPTION_FILES } from '../checkpoints/inception.ts';
import { ArgumentError } from '../errors.ts';
import { isFile } from '../io/file-source.ts';

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
