/** @file The models that ship with the package. */

import { existsSync } from 'node:fs';
import { relative } from 'node:path';
import { fileURLToPath } from 'node:url';
import { ArgumentError, CheckpointError } from '../errors.ts';

/** What a model makes. */
export type ModelKind = 'image' | 'video';

/** Names of the model's folder and of its recipe. */
const NAMES: Readonly<Record<ModelKind, string>> = { image: 'fashion-mnist', video: 'moving-fashion-mnist' };

/** `src/cli` and `dist/cli` are equally deep in the package. */
const MODELS = new URL('../../models/', import.meta.url);

/** The classifier of the images that the bundled image model makes. */
export function bundledClassifier(): string {
  return fileURLToPath(new URL('fashion-mnist-classifier', MODELS));
}

/**
 * The model that is named, or else a bundled one: of images, or of clips if `video`.
 * @param flag what asks for that of clips, for the message.
 * @throws {ArgumentError} if both are given.
 */
export function namedOrBundled(named: string | undefined, video = false, flag = '--video'): string {
  if (named !== undefined && video) {
    throw new ArgumentError(
      `${flag} stands for the bundled model of clips; leave it out, or MODEL (${named})`,
    );
  }
  return named ?? bundledModel(video ? 'video' : 'image');
}

/** The model's path, from the working directory where that is shorter. @throws {CheckpointError} if it is not there. */
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
