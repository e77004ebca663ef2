/** @file The models that ship with the package. */

import { existsSync } from 'node:fs';
import { relative } from 'node:path';
import { fileURLToPath } from 'node:url';
import { CheckpointError } from '../errors.ts';

/** What a model makes. */
export type ModelKind = 'image' | 'video';

/** Names of the model's folder and of its recipe. */
const NAMES: Readonly<Record<ModelKind, string>> = { image: 'fashion-mnist', video: 'moving-fashion-mnist' };

/** `src/runs` and `dist/runs` are equally deep in the package. */
const MODELS = new URL('../../models/', import.meta.url);

/** Returns the path of the classifier of the images that the bundled image model makes. */
export function bundledClassifier(): string {
  return fileURLToPath(new URL('fashion-mnist-classifier', MODELS));
}

/** Returns a model's path, from the working directory if that is shorter. @throws {CheckpointError} if it is missing. */
export function bundledModel(kind: ModelKind): string {
  const path = fileURLToPath(new URL(NAMES[kind], MODELS));
  if (!existsSync(path)) {
    throw new CheckpointError(
      `the bundled ${kind} model ${path} is missing; name a model, or train it with acdit train recipes/${NAMES[kind]}.json`,
    );
  }
  const fromHere = relative(process.cwd(), path);
  return fromHere.length < path.length && !fromHere.startsWith('..') ? fromHere : path;
}
