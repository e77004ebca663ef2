/**
 * @file Decides what may change in the recipe of a run that is resumed. A run's state records the settings it was trained
 * with. A recipe that would make it a different run is refused, and the keys that differ are named.
 */

import { CheckpointError } from '../errors.ts';
import { parseJson } from '../io/json.ts';
import { printable } from '../io/printable.ts';
import { parseSettings, type Recipe, type RecipeSettings } from './recipe.ts';

/**
 * Keys that may always differ: the length of the run, since a wsd run can be prolonged before its decay; the memory that
 * it takes; and `classNames`, since the resulting names are compared. All of `output` and `evaluation` may differ too.
 */
const FREE_KEYS: ReadonlySet<string> = new Set(['training.steps', 'training.activations', 'data.classNames']);

/** Keys that may differ if the caller allows it: those of the learning rate, and the data's path. */
export const CHANGEABLE_KEYS = [
  'training.learningRate',
  'training.schedule',
  'training.warmupSteps',
  'training.decayFraction',
  'data.path',
] as const;

/** One of {@link CHANGEABLE_KEYS}. */
export type ChangeableKey = (typeof CHANGEABLE_KEYS)[number];

/** A key of a recipe with its values in a run and now. */
export interface RecipeChange {
  readonly key: string;
  readonly before: unknown;
  readonly now: unknown;
}

/** Returns a recipe's settings as a run's state records them. */
export function recordSettings({ model, data, training }: Recipe): string {
  return JSON.stringify({ model, data, training } satisfies RecipeSettings);
}

/**
 * Checks that a run may be resumed with a recipe.
 * @param recorded what {@link recordSettings} returned for the run; undefined in older states.
 * @param where the state, for messages.
 * @throws {CheckpointError} naming every key that differs and may not, with both values.
 */
export function requireSameRun(
  recorded: string | undefined,
  recipe: Recipe,
  where: string,
  allowed: readonly ChangeableKey[] = [],
): void {
  const permitted = new Set<string>(allowed);
  const changes = recipeChanges(readSettings(recorded, where), recipe).filter(
    ({ key }) => !permitted.has(key),
  );
  if (changes.length === 0) return;
  const list = changes.map(({ key, before, now }) => `${key} was ${shown(before)} and is now ${shown(now)}`);
  const keys = changes.map(({ key }) => key);
  const changeable = keys.every((key) => CHANGEABLE_KEYS.some((known) => known === key));
  const allow = changeable ? `allow the change with --allow-change ${keys.join(',')}, ` : '';
  throw new CheckpointError(
    `${where}: was trained with a different recipe: ${list.join('; ')}. Restore the run's recipe, ${allow}` +
      'give another output folder, or start over with --fresh',
  );
}

/** Returns the keys whose values differ, except those that may always differ. */
export function recipeChanges(before: RecipeSettings, now: RecipeSettings): RecipeChange[] {
  const sections = ['model', 'data', 'training'] as const;
  return sections.flatMap((section) => {
    const old: Record<string, unknown> = before[section];
    const present: Record<string, unknown> = now[section];
    const names = new Set([...Object.keys(old), ...Object.keys(present)]);
    return [...names]
      .map((name) => ({ key: `${section}.${name}`, before: old[name], now: present[name] }))
      .filter((change) => !FREE_KEYS.has(change.key))
      .filter((change) => JSON.stringify(change.before) !== JSON.stringify(change.now));
  });
}

function readSettings(recorded: string | undefined, where: string): RecipeSettings {
  const settings =
    recorded === undefined ? undefined : parseSettings(parseJson(recorded, where, CheckpointError));
  if (settings) return settings;
  throw new CheckpointError(
    `${where}: does not record a recipe that this version reads; start over with --fresh, from the weights it has ` +
      'reached with training.initFrom',
  );
}

function shown(value: unknown): string {
  return value === undefined ? 'not given' : printable(JSON.stringify(value));
}
