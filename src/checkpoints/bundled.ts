/** @file The folders of the models that come with the package (Node only). */

import { fileURLToPath } from 'node:url';
import { BUNDLED_MODELS } from './bundled-names.ts';

/** `src/checkpoints` and `dist/checkpoints` are equally deep in the package. */
const MODELS = new URL('../../models/', import.meta.url);

/** Returns the path of a folder among the bundled models. */
export function bundledFolder(name: string): string {
  return fileURLToPath(new URL(name, MODELS));
}

/** Returns the path of the bundled model of a name; undefined if there is none. */
export function bundledPath(name: string): string | undefined {
  return BUNDLED_MODELS.includes(name) ? bundledFolder(name) : undefined;
}
