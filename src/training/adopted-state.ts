/**
 * @file States of trainings that another program began: their model and the settings of its AdamW are known, but no recipe.
 * The first recipe that resumes from such a state adopts it: it must have the same model and the same settings.
 */

import { isDeepStrictEqual } from 'node:util';
import type { AdamWSettings } from '../checkpoints/adamw-state.ts';
import { parseConfig } from '../checkpoints/config-json.ts';
import { CheckpointError } from '../errors.ts';
import type { Metadata } from '../formats/tensor-archive.ts';
import { parseJson } from '../io/json.ts';
import { printable } from '../io/printable.ts';
import { movedClass } from '../models/acdit/class-names.ts';
import { type AcditConfig, type DiffusionSettings, diffusionSettings } from '../models/acdit/config.ts';
import type { Recipe } from './recipe.ts';

/** Keys of the state's metadata. */
const MODEL = 'model';
const OPTIMIZER = 'optimizer';

/** Returns what a state records of a training that another program began. */
export function adoptedMetadata(config: AcditConfig, settings: AdamWSettings): Metadata {
  return { [MODEL]: JSON.stringify(config), [OPTIMIZER]: JSON.stringify(settings) };
}

/** Whether a state is of a training that another program began, and no recipe has adopted it yet. */
export function isAdopted(metadata: Metadata): boolean {
  return metadata[OPTIMIZER] !== undefined && metadata.recipe === undefined;
}

/** Returns the settings of AdamW that a state records. */
export function adoptedSettings(metadata: Metadata, where: string): AdamWSettings {
  return parseJson(metadata[OPTIMIZER] ?? '', where, CheckpointError) as AdamWSettings;
}

/** Returns the position in the data of a training that another program began: as if it had had this recipe. */
export function adoptedPosition({ step, ...metadata }: Metadata, { training }: Recipe): string | undefined {
  return isAdopted(metadata) ? String(Number(step) * training.batch * training.accumulate) : undefined;
}

/** Parts of a model that a recipe or its data gives it, and that no weight depends on. */
const FREE_PARTS: ReadonlySet<string> = new Set(['guidance', 'preset', 'classNames', 'autoencoder']);

/**
 * Checks that a recipe's model and settings are those of a training that another program began.
 * @param allowed keys of the recipe that may differ.
 * @throws {CheckpointError} naming what differs, with both values
 */
export function requireAdopted(
  metadata: Metadata,
  config: AcditConfig,
  { training }: Recipe,
  where: string,
  allowed: readonly string[],
): void {
  const model = parseConfig(metadata[MODEL] ?? '', where);
  const { betas, epsilon, weightDecay } = adoptedSettings(metadata, where);
  const [before, now] = [withDefaults(model), withDefaults(config)];
  const differing = [...new Set([...Object.keys(before), ...Object.keys(now)])]
    .filter((part) => !FREE_PARTS.has(part) && !isDeepStrictEqual(before[part], now[part]))
    .map((part) => difference(`the model's ${part}`, before[part], now[part]));
  const settings = Object.entries({ betas, epsilon, weightDecay })
    .map(([key, value]) => ({ key: `training.${key}`, value, now: training[key as keyof typeof training] }))
    .filter(({ key, value, now }) => !isDeepStrictEqual(value, now) && !allowed.includes(key))
    .map(({ key, value, now }) => difference(key, value, now));
  const moved = movedClass(model.classNames ?? [], config.classNames ?? []);
  const classes = moved ? [difference(`the label of class '${printable(moved.name)}'`, ...moved.labels)] : [];
  const all = [...differing, ...settings, ...classes];
  if (all.length === 0) return;
  throw new CheckpointError(
    `${where}: another program trained it with different settings: ${all.join('; ')}. Give the recipe the earlier values` +
      `${settings.length > 0 ? ', or allow changes of training keys with --allow-change' : ''}`,
  );
}

/** Returns the settings of a model with the defaults of what they leave out, so that stating a default is not a change. */
export function withDefaults(model: Partial<DiffusionSettings>): Readonly<Record<string, unknown>> {
  return { positions: 'nd', attention: 'skip-causal', ...model, ...diffusionSettings(model) };
}

function difference(what: string, before: unknown, now: unknown): string {
  const shown = (value: unknown): string =>
    value === undefined ? 'not given' : printable(JSON.stringify(value));
  return `${what} was ${shown(before)} and is now ${shown(now)}`;
}
