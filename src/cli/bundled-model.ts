/** @file The model that ships with the package. */

import { existsSync } from 'node:fs';
import { relative } from 'node:path';
import { fileURLToPath } from 'node:url';
import { CheckpointError } from '../errors.ts';

/** `src/cli` and `dist/cli` are equally deep in the package. */
const BUNDLED = new URL('../../models/fashion-mnist', import.meta.url);

/** The model's path, from the working directory where that is shorter. @throws {CheckpointError} if it is not there. */
export function bundledModel(): string {
  const path = fileURLToPath(BUNDLED);
  if (!existsSync(path)) {
    throw new CheckpointError(
      `the bundled model ${path} is missing; name a model, or train it with acdit train recipes/fashion-mnist.json`,
    );
  }
  const fromHere = relative(process.cwd(), path);
  return fromHere.length < path.length && !fromHere.startsWith('..') ? fromHere : path;
}
