/** @file Where the weights of the FID's Inception network are. */

import { homedir } from 'node:os';
import { join } from 'node:path';
import { INCEPTION_FILES } from '../checkpoints/inception.ts';
import { ArgumentError } from '../errors.ts';
import { isFile } from '../io/file-source.ts';

/** Environment variables, such as `process.env`. */
type Environment = Readonly<Record<string, string | undefined>>;

/** The variable that names the file. */
const VARIABLE = 'ACDIT_INCEPTION';

/**
 * The file of the weights: the one given, that of the environment, or the one that pytorch-fid, torch-fidelity or the ADM
 * evaluator has left where it is used to.
 * @param given with `--inception`.
 * @throws {ArgumentError} if there is none.
 */
export async function inceptionPath(
  given: string | undefined,
  environment: Environment = process.env,
): Promise<string> {
  const named = given ?? (environment[VARIABLE]?.trim() || undefined);
  if (named !== undefined) return named;
  const folder = torchFolder(environment);
  const { torch, tensorflow } = INCEPTION_FILES;
  const places = [
    join(folder, torch.name),
    join(folder, torch.name.replace(/^pt_/, 'weights-')), // torch-fidelity's name for the same file
    tensorflow.name,
  ];
  for (const path of places) if (await isFile(path)) return path;
  throw new ArgumentError(
    `features of images need the weights of the Inception network of 2015-12-05: get ${torch.name} (SHA-256 ` +
      `${torch.hash}...) from ${torch.address}, or ${tensorflow.name} from ${tensorflow.address}, and give it with ` +
      `--inception FILE or ${VARIABLE}, or put it into ${folder}`,
  );
}

/** Where PyTorch keeps what it downloads. */
function torchFolder(environment: Environment): string {
  const cache = environment.XDG_CACHE_HOME || join(homedir(), '.cache');
  return join(environment.TORCH_HOME || join(cache, 'torch'), 'hub', 'checkpoints');
}
