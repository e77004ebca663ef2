/**
 * @file Training states of versions before checksums. They hold a fingerprint of the recipe instead of its settings, that of
 * the autoencoder without its scaling factor, and no class names.
 */

import { createHash } from 'node:crypto';
import { CheckpointError } from '../errors.ts';
import { printable } from '../io/printable.ts';
import type { AcditConfig } from '../models/acdit/config.ts';
import type { Recipe } from './recipe.ts';

type Metadata = Readonly<Record<string, string>>;

/** Whether a state's metadata is of an earlier version; later ones record the recipe as JSON. */
export function isEarlierState({ recipe = '' }: Metadata): boolean {
  return /^[0-9a-f]{16}$/.test(recipe);
}

/** Checks that a state of an earlier version belongs to the same recipe and autoencoder. @throws {CheckpointError} if not */
export function requireEarlierRun(
  { recipe: recorded, autoencoder }: Metadata,
  config: AcditConfig,
  recipe: Recipe,
  path: string,
): void {
  if (recorded !== recipeFingerprint(recipe)) {
    throw new CheckpointError(
      `${path}: was trained with a different recipe, by an earlier version, which does not record what differs; restore ` +
        "the run's recipe, give another output folder, or start over with --fresh",
    );
  }
  requireSameAutoencoder(autoencoder ?? 'none', config.autoencoder?.fingerprint ?? 'none', path);
}

/** Returns the note that says what cannot be checked when a run resumes from such a state. */
export function earlierStateNote(path: string, { autoencoder }: AcditConfig): string {
  const unchecked = [
    'checksums',
    'class names',
    ...(autoencoder ? ['the scaling factor of its latents'] : []),
  ];
  const list = `${unchecked.slice(0, -1).join(', ')} and ${unchecked.at(-1)}`;
  return `${path}: an earlier version wrote it, without ${list}, so damage or a change of these would not be noticed`;
}

/** @throws {CheckpointError} if a run was trained on latents of a different autoencoder */
export function requireSameAutoencoder(then: string, now: string, path: string): void {
  if (then === now) return;
  throw new CheckpointError(
    `${path}: was trained on latents of autoencoder ${printable(then)}, and the data is now of ${now}; use the data it was ` +
      'trained on, or start over with --fresh',
  );
}

/** Keys of the training that recipes got later, with the values by which they are as they were. */
const LATER_DEFAULTS: ReadonlyMap<string, unknown> = new Map([
  ['timesteps', 'uniform'],
  ['timestepPer', 'block'],
]);

/** Returns the fingerprint that earlier versions recorded: of everything but the output, the run's length and its memory. */
function recipeFingerprint({ model, data, training }: Recipe): string {
  const { activations: _activations, steps: _steps, ...rest } = training;
  const known = Object.entries(rest).filter(
    ([key, value]) => !LATER_DEFAULTS.has(key) || value !== LATER_DEFAULTS.get(key),
  );
  const settings = Object.fromEntries(known);
  return createHash('sha256').update(JSON.stringify({ model, data, settings })).digest('hex').slice(0, 16);
}
