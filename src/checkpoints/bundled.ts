/** @file The models that come with the package (Node only). */

import { fileURLToPath } from 'node:url';

/** What a model makes. */
export type ModelKind = 'image' | 'video';

/** Names of the models' folders and of their recipes. */
export const BUNDLED_MODELS: Readonly<Record<ModelKind, string>> = {
  image: 'fashion-mnist',
  video: 'moving-fashion-mnist',
};

/** `src/checkpoints` and `dist/checkpoints` are equally deep in the package. */
const MODELS = new URL('../../models/', import.meta.url);

/** Returns the path of a folder among the bundled models. */
export function bundledFolder(name: string): string {
  return fileURLToPath(new URL(name, MODELS));
}

/** Returns the path of the bundled model of a name; undefined if there is none. */
export function bundledPath(name: string): string | undefined {
  return Object.values(BUNDLED_MODELS).includes(name) ? bundledFolder(name) : undefined;
}
