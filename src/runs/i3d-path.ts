/** @file Where the weights of I3D are. */

import { I3D_FILES } from '../checkpoints/i3d.ts';
import { ArgumentError } from '../errors.ts';
import { isFile } from '../io/file-source.ts';

/** The variable that names the file. */
const VARIABLE = 'ACDIT_I3D';

/**
 * The file of the weights: the one given, that of the environment, or one of the usual names in the working folder.
 * @param given with `--i3d`.
 * @param environment variables, such as `process.env`.
 * @throws {ArgumentError} if there is none.
 */
export async function i3dPath(
  given: string | undefined,
  environment: Readonly<Record<string, string | undefined>> = process.env,
): Promise<string> {
  const named = given ?? (environment[VARIABLE]?.trim() || undefined);
  if (named !== undefined) return named;
  const { torchScript, stateDict } = I3D_FILES;
  for (const { name } of [torchScript, stateDict]) if (await isFile(name)) return name;
  throw new ArgumentError(
    `features of videos need the weights of the I3D network: get ${torchScript.name} from ${torchScript.address}, or ` +
      `${stateDict.name}, which ${stateDict.address} loads, and give it with --i3d FILE or ${VARIABLE}`,
  );
}
